//! Places of files and directories of the host: descriptors that stand for a path, without access to what lies there.

#![expect(unsafe_code, reason = "a system call without a wrapper")]

use std::ffi::CString;
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
