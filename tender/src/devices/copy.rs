//! Copies between guest memory and the tender's that survive what the guest may do to its memory during the copy: remove its
//! own rights to a page, or lose one because another process has truncated the file.
//!
//! Such a page raises SIGSEGV or SIGBUS at the one instruction that copies. The handler then skips to the instruction after it,
//! so the copy ends early; the bytes left are the result.

#![expect(unsafe_code, reason = "guest memory is copied by address, and a signal handler steps over what fails")]

use super::ring::{Part, Parts};
use crate::arch::copy::{copy, skip};
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

/// Guest memory that could not be reached, because the guest has protected it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// Handlers installed before [`prepare`].
static BEFORE: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

/// Installs the fault handler, for the rest of this process's life.
pub fn prepare() {
    let before = || {
        SIGNALS.map(|signal| {
            // SAFETY: all zeros is a valid `sigaction`.
            let mut before: libc::sigaction = unsafe { zeroed() };
            // SAFETY: a null action only queries; the result goes to a local variable.
            unsafe { libc::sigaction(signal, null(), &mut before) };
            before
        })
    };
    BEFORE.get_or_init(before);
    for signal in SIGNALS {
        // SAFETY: all zeros is a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = failed as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `failed` is async-signal-safe and changes only the context of the signal, or restores an earlier handler.
        unsafe { libc::sigaction(signal, &action, null_mut()) };
    }
}

extern "C" fn failed(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: SA_SIGINFO: the kernel passes a valid context, which is exclusive to this handler until it returns.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    if skip(context) {
        return;
    }
    // A fault elsewhere: the instruction faults again, with the handler from before `prepare`.
    let index = SIGNALS.iter().position(|known| *known == signal);
    if let Some(before) = index.and_then(|index| BEFORE.get()?.get(index)) {
        // SAFETY: `before` is the action that sigaction(2) returned in `prepare`.
        unsafe { libc::sigaction(signal, before, null_mut()) };
    }
}

/// Appends a request's memory to `into`.
pub fn from_guest(parts: &Parts, into: &mut Vec<u8>) -> Result<(), Unreachable> {
    into.reserve(parts.length());
    parts.iter().try_for_each(|part| from_part(part, into))
}

/// Appends one part of a request's memory to `into`.
pub fn from_part(part: Part, into: &mut Vec<u8>) -> Result<(), Unreachable> {
    into.reserve(part.length);
    let start = into.len();
    let room = into.spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: `reserve` made room for the part; `Queue::next` checked the guest's.
    let left = unsafe { copy(room, part.start.as_ptr(), part.length) };
    if left > 0 {
        return Err(Unreachable);
    }
    // SAFETY: the copy has just written all of these bytes.
    unsafe { into.set_len(start + part.length) };
    Ok(())
}

/// Copies `bytes` to a request's memory, which has the same length.
pub fn to_guest(parts: &Parts, bytes: &[u8]) -> Result<(), Unreachable> {
    let mut rest = bytes;
    for part in parts.iter() {
        let (now, later) = rest.split_at(part.length.min(rest.len()));
        into_part(part, now)?;
        rest = later;
    }
    Ok(())
}

/// Copies `bytes` to the start of one part of a request's memory, as far as that reaches.
pub fn into_part(part: Part, bytes: &[u8]) -> Result<(), Unreachable> {
    // SAFETY: `Queue::next` checked the guest's part; no reference is made to it.
    match unsafe { copy(part.start.as_ptr(), bytes.as_ptr(), bytes.len().min(part.length)) } {
        0 => Ok(()),
        _ => Err(Unreachable),
    }
}

/// Copies `part.length` bytes to one part of a request's memory.
///
/// # Safety
///
/// As many bytes are mapped at `from`, and no thread of the tender writes to them; a fault on their pages is allowed.
pub unsafe fn one(from: *const u8, part: Part) -> Result<(), Unreachable> {
    // SAFETY: the caller mapped `from` for this length; `Queue::next` checked the guest's part.
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
        // SAFETY: a new mapping at an address of the kernel's choice.
        let page =
            unsafe { libc::mmap(null_mut(), 8192, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        // SAFETY: the mapping has two pages.
        let second = unsafe { page.cast::<u8>().add(4096) };
        // SAFETY: `second` is the second page of the mapping made above.
        unsafe { libc::mprotect(second.cast(), 4096, libc::PROT_NONE) };
        let mut bytes = [1; 100];
        // SAFETY: 10 bytes below the second page lie in the first.
        let end = unsafe { second.sub(10) };
        // SAFETY: the source is mapped for 10 bytes, and `prepare` has installed the handler.
        assert_eq!(unsafe { copy(bytes.as_mut_ptr(), end, 100) }, 90);
        assert_eq!((bytes[9], bytes[10]), (0, 1));
        // SAFETY: the target is read-only, so nothing is written, and `prepare` has installed the handler.
        assert_eq!(unsafe { copy(page.cast(), bytes.as_ptr(), 100) }, 100);
        // SAFETY: the mapping was made above, and nothing refers to it any more.
        unsafe { libc::munmap(page, 8192) };
    }
}
