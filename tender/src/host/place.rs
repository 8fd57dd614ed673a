//! Places of files and directories of the host: descriptors that stand for a path, without access to what lies there.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens a path with `O_PATH`, which neither waits, as for the writer of a FIFO, nor has effects, as with a device; links are followed.
/// By the system call: musl counts `O_PATH` among the bits of an access mode, which std takes out of flags.
pub fn open(path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: `path` is a string.
    let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, for this call alone.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(file as RawFd) }))
}

/// Argument of openat2(2): `struct open_how`.
#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens a path beneath a directory, by openat2(2) with these bits of `resolve`; closed by exec(2). A rename anywhere disturbs the walk
/// (EAGAIN), which is made at most so many `times`; a signal does not end it.
pub fn open_beneath(
    directory: RawFd,
    path: &CStr,
    (flags, mode): (libc::c_int, u32),
    resolve: u64,
    times: u32,
) -> io::Result<OwnedFd> {
    let how = How { flags: (flags | libc::O_CLOEXEC) as u64, mode: mode.into(), resolve };
    let mut time = 1;
    loop {
        // SAFETY: `path` is a string, and `how` a structure of the size passed.
        let opened =
            unsafe { libc::syscall(libc::SYS_openat2, directory, path.as_ptr(), &raw const how, size_of::<How>()) };
        if opened >= 0 {
            // SAFETY: the kernel has just made this descriptor, for this call alone.
            return Ok(unsafe { OwnedFd::from_raw_fd(opened as RawFd) });
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) if time < times => time += 1,
            _ => return Err(error),
        }
    }
}
