//! Limits of this process, by prlimit(2). Not by setrlimit(2): without prlimit(2), the C library has all threads make that
//! call, and some threads may be in their seccomp filters by now.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::io;
use std::ptr::{null, null_mut};

/// The limits of a resource.
pub fn get(resource: i32) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a variable of ours.
    match unsafe { libc::prlimit(0, resource as _, null(), &mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the limits of a resource.
pub fn set(resource: i32, limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: a variable of ours.
    match unsafe { libc::prlimit(0, resource as _, &limit, null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
