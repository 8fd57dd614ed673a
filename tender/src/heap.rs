//! The tender's own heap: dlmalloc, and what is said when the host has no more memory for it.

#![expect(unsafe_code, reason = "an allocator hands out memory by address")]

use dlmalloc::GlobalDlmalloc;
use husk_abi::fault::TENDER_ERROR;
use std::alloc::{GlobalAlloc, Layout};

/// Nobody here is prepared to go without less than this, in bytes. Whoever asks for more may be.
const LARGE: usize = 1 << 20;

/// The allocator. musl's maps pages anew for every few objects: a twentieth of a start.
#[derive(Debug)]
pub struct Heap;

// SAFETY: all of it is dlmalloc's work.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for the layout.
        there(unsafe { GlobalDlmalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for the layout.
        there(unsafe { GlobalDlmalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the place and its layout.
        there(unsafe { GlobalDlmalloc.realloc(place, layout, size) }, size)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches for the place and its layout.
        unsafe { GlobalDlmalloc.dealloc(place, layout) };
    }
}

/// Ends the process if a small piece of memory is not there.
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
    // SAFETY: the line is as long. There is nobody to be told if it cannot be written.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    // SAFETY: nothing is left to be put away that the kernel would not.
    unsafe { libc::_exit(TENDER_ERROR.into()) }
}
