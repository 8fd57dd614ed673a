//! Copies between guest memory and ours that survive what a guest may do to its memory meanwhile: take its own rights to
//! a page, or lose one with a file that somebody has cut short.
//!
//! Such a page raises a signal at the one instruction that copies. The handler then lets the copy end early, which it
//! tells by what is left to copy.

#![expect(unsafe_code, reason = "guest memory is copied by address, and a signal handler steps over what fails")]

use super::ring::{Part, Parts};
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

/// Guest memory could not be reached, as the guest has protected it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

unsafe extern "C" {
    /// The instruction that copies.
    static husk_guest_copy: u8;
    /// The one after it.
    static husk_guest_copy_end: u8;
}

/// Copies `length` bytes, and tells how many are left if it had to stop.
///
/// # Safety
///
/// Nobody else uses the memory of ours; the handler of [`prepare`] is in place if the guest's may fail.
#[unsafe(naked)]
unsafe extern "sysv64" fn copy(to: *mut u8, from: *const u8, length: usize) -> usize {
    core::arch::naked_asm!(
        "mov rcx, rdx",
        ".globl husk_guest_copy",
        "husk_guest_copy:",
        "rep movsb",
        ".globl husk_guest_copy_end",
        "husk_guest_copy_end:",
        "mov rax, rcx",
        "ret",
    )
}

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// What handled the signals before.
static BEFORE: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

/// Makes copies survive, in this process and from now on.
pub fn prepare() {
    let before = || {
        SIGNALS.map(|signal| {
            // SAFETY: all zeros is a valid value.
            let mut before: libc::sigaction = unsafe { zeroed() };
            // SAFETY: only asks; the answer goes to a variable of ours.
            unsafe { libc::sigaction(signal, null(), &mut before) };
            before
        })
    };
    BEFORE.get_or_init(before);
    for signal in SIGNALS {
        // SAFETY: all zeros is a valid value.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = failed as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler changes nothing but the context that it is given.
        unsafe { libc::sigaction(signal, &action, null_mut()) };
    }
}

extern "C" fn failed(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a context that is ours to change until we return.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let rip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    if *rip == (&raw const husk_guest_copy) as i64 {
        *rip = (&raw const husk_guest_copy_end) as i64;
        return;
    }
    // Not ours: it happens again, and goes to whoever handled it before.
    let index = SIGNALS.iter().position(|known| *known == signal);
    if let Some(before) = index.and_then(|index| BEFORE.get()?.get(index)) {
        // SAFETY: the action is what it was.
        unsafe { libc::sigaction(signal, before, null_mut()) };
    }
}

/// Copies a request's memory to the end of `into`.
pub fn from_guest(parts: &Parts, into: &mut Vec<u8>) -> Result<(), Unreachable> {
    into.reserve(parts.length());
    for part in parts.iter() {
        let start = into.len();
        let room = into.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: so much was reserved; the guest's part was checked.
        let left = unsafe { copy(room, part.start.as_ptr(), part.length) };
        if left > 0 {
            return Err(Unreachable);
        }
        // SAFETY: so much was just written.
        unsafe { into.set_len(start + part.length) };
    }
    Ok(())
}

/// Copies `bytes` to a request's memory, which is as long.
pub fn to_guest(parts: &Parts, bytes: &[u8]) -> Result<(), Unreachable> {
    let mut rest = bytes;
    for part in parts.iter() {
        let (now, later) = rest.split_at(part.length.min(rest.len()));
        // SAFETY: the guest's part was checked, and is as long; no reference is made to it.
        let left = unsafe { copy(part.start.as_ptr(), now.as_ptr(), now.len()) };
        if left > 0 {
            return Err(Unreachable);
        }
        rest = later;
    }
    Ok(())
}

/// Copies to a part of a request's memory as much as it is long.
///
/// # Safety
///
/// So much is mapped at `from`, which nobody of ours writes to; its pages may be gone.
pub unsafe fn one(from: *const u8, part: Part) -> Result<(), Unreachable> {
    // SAFETY: the caller's; the guest's part was checked.
    match unsafe { copy(part.start.as_ptr(), from, part.length) } {
        0 => Ok(()),
        _ => Err(Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_to_or_from_a_page_that_is_not_there_ends_early() {
        prepare();
        // SAFETY: a new mapping.
        let page =
            unsafe { libc::mmap(null_mut(), 8192, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        // SAFETY: the second page of the mapping.
        let second = unsafe { page.cast::<u8>().add(4096) };
        // SAFETY: as above.
        unsafe { libc::mprotect(second.cast(), 4096, libc::PROT_NONE) };
        let mut bytes = [1; 100];
        // SAFETY: the end of the first page.
        let end = unsafe { second.sub(10) };
        // SAFETY: the source is mapped for 10 bytes, and the handler in place.
        assert_eq!(unsafe { copy(bytes.as_mut_ptr(), end, 100) }, 90);
        assert_eq!((bytes[9], bytes[10]), (0, 1));
        // SAFETY: nothing of the target can be written, and the handler is in place.
        assert_eq!(unsafe { copy(page.cast(), bytes.as_ptr(), 100) }, 100);
        // SAFETY: the mapping is ours.
        unsafe { libc::munmap(page, 8192) };
    }
}
