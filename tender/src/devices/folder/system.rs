//! System calls on files below a directory that is open. Each takes descriptors and names, never an absolute path; numbers of
//! errors are Linux's. By their numbers, because the C library's functions may make other calls than the filters allow.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use crate::host::place;
use libc::{c_int, c_long};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// An errno of Linux, or [`husk_abi::folder::OUTSIDE`].
pub type Error = u32;

/// Nothing outside of the directory, and no link of `/proc`.
const BENEATH: u64 = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
/// Nothing of another mount: what is mounted below may be a `/proc`, through which the guest would write to the memory of this process,
/// or a file system that does not answer.
const ONE_MOUNT: u64 = libc::RESOLVE_NO_XDEV;
/// Walks of a path that moves meanwhile.
const WALKS: u32 = 65;

/// Converts the result of a system call.
pub fn check(result: c_long) -> Result<u64, Error> {
    match result {
        0.. => Ok(result as u64),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) as u32),
    }
}

/// Repeats a call that a signal has interrupted.
pub fn retried(mut call: impl FnMut() -> c_long) -> Result<u64, Error> {
    loop {
        match check(call()) {
            Err(error) if error == libc::EINTR as u32 => {}
            result => return result,
        }
    }
}

/// Opens a path beneath a directory (openat2(2)); links are followed, unless they lead out. EXDEV for a path that leads out, or to
/// what is mounted below.
pub fn open(directory: RawFd, path: &CStr, flags: c_int, mode: u32) -> Result<OwnedFd, Error> {
    resolve(directory, path, flags, mode, BENEATH | ONE_MOUNT)
}

/// Opens a name in a directory, also if a file is mounted there.
pub fn open_mounted(directory: RawFd, name: &CStr, flags: c_int) -> Result<OwnedFd, Error> {
    resolve(directory, name, flags, 0, BENEATH)
}

fn resolve(directory: RawFd, path: &CStr, flags: c_int, mode: u32, resolve: u64) -> Result<OwnedFd, Error> {
    let opened = place::open_beneath(directory, path, (flags, mode), resolve, WALKS);
    opened.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO) as Error)
}

/// Attributes of a name in a directory, or, with an empty name, of the directory or file itself.
pub fn status(file: RawFd, name: &CStr) -> Result<libc::statx, Error> {
    // SAFETY: all zeros are a valid structure.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    let wanted = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    // SAFETY: `name` is a string, and `status` a structure for the result.
    retried(|| unsafe { libc::syscall(libc::SYS_statx, file, name.as_ptr(), flags, wanted, &raw mut status) })?;
    Ok(status)
}

/// Calls with a descriptor, or a name in the directory that it is.
pub fn named(number: c_long, file: RawFd, name: &CStr, rest: [c_long; 2]) -> Result<(), Error> {
    // SAFETY: the callers pass calls whose second argument is a string, and whose others are numbers.
    retried(|| unsafe { libc::syscall(number, file, name.as_ptr(), rest[0], rest[1]) }).map(drop)
}

/// Calls with two names: renameat2(2), linkat(2).
pub fn paired(number: c_long, from: (RawFd, &CStr), to: (RawFd, &CStr), flags: u32) -> Result<(), Error> {
    // SAFETY: both calls take two descriptors with a string each, and a number.
    retried(|| unsafe { libc::syscall(number, from.0, from.1.as_ptr(), to.0, to.1.as_ptr(), flags) }).map(drop)
}

/// symlinkat(2).
pub fn symlink(target: &CStr, directory: RawFd, name: &CStr) -> Result<(), Error> {
    // SAFETY: both are strings.
    retried(|| unsafe { libc::syscall(libc::SYS_symlinkat, target.as_ptr(), directory, name.as_ptr()) }).map(drop)
}

/// Sets the owner of an open file.
pub fn set_owner(file: RawFd, user: u32, group: u32) -> Result<(), Error> {
    let call = || {
        // SAFETY: the name is a string, and the others are numbers.
        unsafe { libc::syscall(libc::SYS_fchownat, file, c"".as_ptr(), user, group, libc::AT_EMPTY_PATH) }
    };
    retried(call).map(drop)
}

/// Sets the times of an open file.
pub fn set_times(file: RawFd, times: &[libc::timespec; 2]) -> Result<(), Error> {
    let call = || {
        // SAFETY: the name is a string, and the times are two structures.
        unsafe { libc::syscall(libc::SYS_utimensat, file, c"".as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH) }
    };
    retried(call).map(drop)
}

/// Calls with a descriptor and three numbers.
pub fn plain(number: c_long, file: RawFd, rest: [c_long; 3]) -> Result<u64, Error> {
    // SAFETY: the callers pass calls whose arguments are numbers.
    retried(|| unsafe { libc::syscall(number, file, rest[0], rest[1], rest[2]) })
}

/// Commands of fcntl(2) on locks.
pub fn lock(file: RawFd, command: c_int, lock: &mut libc::flock) -> Result<(), Error> {
    // SAFETY: `lock` is a structure of ours.
    retried(|| unsafe { libc::syscall(libc::SYS_fcntl, file, command, &raw mut *lock) }).map(drop)
}

/// fstatfs(2).
pub fn space(file: RawFd) -> Result<libc::statfs, Error> {
    // SAFETY: all zeros are a valid structure.
    let mut space: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `space` is a structure for the result.
    retried(|| unsafe { libc::syscall(libc::SYS_fstatfs, file, &raw mut space) })?;
    Ok(space)
}

/// Calls that fill memory: readlinkat(2) with an empty name, getdents64(2).
///
/// # Safety
///
/// The memory may be written to by the kernel, or is not mapped.
pub unsafe fn fill(number: c_long, file: RawFd, into: (*mut u8, usize)) -> Result<u64, Error> {
    match number {
        libc::SYS_readlinkat => {
            // SAFETY: the caller guarantees for the memory; the name is a string.
            retried(|| unsafe { libc::syscall(number, file, c"".as_ptr(), into.0, into.1) })
        }
        // SAFETY: the caller guarantees for the memory.
        _ => retried(|| unsafe { libc::syscall(number, file, into.0, into.1) }),
    }
}

/// preadv(2) and pwritev2(2).
///
/// # Safety
///
/// The kernel may read the memory of `parts`, and write to it in a read, or it is not mapped.
pub unsafe fn transfer(file: RawFd, parts: &[libc::iovec], offset: i64, write: Option<c_int>) -> Result<u64, Error> {
    let (at, count) = (parts.as_ptr(), parts.len());
    match write {
        // SAFETY: the caller guarantees for the memory. The offset has its high half in a register that is ignored.
        None => retried(|| unsafe { libc::syscall(libc::SYS_preadv, file, at, count, offset, 0) }),
        // SAFETY: as above.
        Some(flags) => retried(|| unsafe { libc::syscall(libc::SYS_pwritev2, file, at, count, offset, 0, flags) }),
    }
}

/// User and group of this process.
pub fn identity() -> (u32, u32) {
    // SAFETY: geteuid(2) has no preconditions.
    let user = unsafe { libc::geteuid() };
    // SAFETY: getegid(2) has no preconditions.
    (user, unsafe { libc::getegid() })
}

/// Has new files get the permissions that are asked for: the guest has a mask of its own.
pub fn clear_mask() {
    // SAFETY: umask(2) takes a number.
    unsafe { libc::umask(0) };
}

/// Returns true if both describe the same file.
pub fn is_same(one: &libc::statx, other: &libc::statx) -> bool {
    let identity = |status: &libc::statx| (status.stx_dev_major, status.stx_dev_minor, status.stx_ino);
    identity(one) == identity(other)
}

/// Descriptor to call with.
pub fn raw(file: &impl AsRawFd) -> RawFd {
    file.as_raw_fd()
}
