//! What a guest in this process could find or use up if it took the tender over: little of the first, and the second within
//! bounds of the kernel's.

#![expect(unsafe_code, reason = "limits and the environment are the C library's")]

use crate::memory::Memory;
use std::io;

/// What the tender itself may have beside the guest's memory, in bytes: twice what it takes at most, which is by a
/// user-mode network, for what peers and guest leave unread, and a report.
const OWN: u64 = 1 << 30;

/// Limits the memory that this process can write, whoever asks the kernel for more.
pub fn limit_memory(memory: &Memory) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a variable of ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_DATA, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let most = limit.rlim_max.min(memory.layout().physical_size() + OWN);
    limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a variable of ours.
    match unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

/// Overwrites the tender's environment, which is none of the guest's business. Nothing that follows looks for it.
pub fn forget_environment() {
    // SAFETY: no other thread of ours looks at the environment.
    let mut next = unsafe { environ };
    while !next.is_null() {
        // SAFETY: the list ends with a null pointer.
        let Some(word) = std::ptr::NonNull::new(unsafe { *next }) else { return };
        // SAFETY: each is a string.
        let length = unsafe { libc::strlen(word.as_ptr()) };
        // SAFETY: as long as that, and writable: the C library has it from the kernel, or made it.
        unsafe { word.as_ptr().write_bytes(0, length) };
        // SAFETY: inside the list.
        next = unsafe { next.add(1) };
    }
}
