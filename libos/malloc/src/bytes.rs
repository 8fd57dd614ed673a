//! Zeroing and copying blocks: multiples of 16 bytes, aligned to that. Short ones word by word, which is quicker than to
//! start a string instruction and, as the writes are volatile, is not turned into a call.

#![expect(unsafe_code, reason = "raw memory")]

use core::arch::asm;
use core::ptr::NonNull;

/// From so many bytes on, string instructions are quicker.
const LONG: usize = 512;

/// Writes zeros.
///
/// # Safety
///
/// `length`, rounded up to 8, bytes are the caller's.
pub unsafe fn zero(block: NonNull<u8>, length: usize) {
    let (words, target) = (length.div_ceil(8), block.cast::<u64>().as_ptr());
    if length < LONG {
        for index in 0..words {
            // SAFETY: the caller's promise.
            unsafe { target.wrapping_add(index).write_volatile(0) };
        }
        return;
    }
    // SAFETY: the caller's promise; the direction flag is clear by convention.
    unsafe { asm!("rep stosq", inout("rcx") words => _, inout("rdi") target => _, in("rax") 0, options(nostack)) };
}

/// Copies bytes.
///
/// # Safety
///
/// `length`, rounded up to 8, bytes of both are the caller's and do not overlap.
pub unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, length: usize) {
    let words = length.div_ceil(8);
    let (source, target) = (from.cast::<u64>().as_ptr(), to.cast::<u64>().as_ptr());
    if length < LONG {
        for index in 0..words {
            // SAFETY: the caller's promise.
            let word = unsafe { source.wrapping_add(index).read_volatile() };
            // SAFETY: the caller's promise.
            unsafe { target.wrapping_add(index).write_volatile(word) };
        }
        return;
    }
    // SAFETY: the caller's promise; the direction flag is clear by convention.
    unsafe {
        asm!("rep movsq", inout("rcx") words => _, inout("rsi") source => _, inout("rdi") target => _, options(nostack));
    }
}
