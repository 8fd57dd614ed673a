//! Sets of signals, and the mask of a thread.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

/// Set of all signals.
pub fn all() -> libc::sigset_t {
    // SAFETY: all zeros is a valid value.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours.
    unsafe { libc::sigfillset(&mut set) };
    set
}

/// Changes the mask of the calling thread as pthread_sigmask(3) does. Returns the mask before.
pub fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> libc::sigset_t {
    // SAFETY: all zeros is a valid value.
    let mut before = unsafe { std::mem::zeroed() };
    // SAFETY: both sets are variables of ours.
    unsafe { libc::pthread_sigmask(how, set, &mut before) };
    before
}
