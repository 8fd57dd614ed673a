//! The tender's own heap: dlmalloc, and the message for a host that has no more memory.

#![expect(unsafe_code, reason = "an allocator hands out memory by address")]

use dlmalloc::GlobalDlmalloc;
use husk_abi::fault::TENDER_ERROR;
use std::alloc::{GlobalAlloc, Layout};

/// Bytes from which on a request may fail, because its caller may be prepared. A smaller one that fails ends the process.
const LARGE: usize = 1 << 20;

/// The allocator. musl's own maps new pages for every few objects, which is a twentieth of the start-up time.
#[derive(Debug)]
pub struct Heap;

// SAFETY: every method forwards to dlmalloc, which is an allocator.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is valid, as `GlobalAlloc::alloc` requires of its caller.
        there(unsafe { GlobalDlmalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is valid, as `GlobalAlloc::alloc_zeroed` requires of its caller.
        there(unsafe { GlobalDlmalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `GlobalAlloc::realloc` requires of its caller that `place` was allocated here with `layout`.
        there(unsafe { GlobalDlmalloc.realloc(place, layout, size) }, size)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `GlobalAlloc::dealloc` requires of its caller that `place` was allocated here with `layout`.
        unsafe { GlobalDlmalloc.dealloc(place, layout) };
    }
}

/// Ends the process if a small request failed.
#[inline]
fn there(place: *mut u8, size: usize) -> *mut u8 {
    if place.is_null() && size < LARGE {
        nothing_left();
    }
    place
}

#[cold]
fn nothing_left() -> ! {
    let line = b"husk: the host has no memory left\n";
    // SAFETY: pointer and length are the line's. A failed write cannot be reported.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    // SAFETY: _exit(2) has no preconditions; the kernel releases the process's resources.
    unsafe { libc::_exit(TENDER_ERROR.into()) }
}
