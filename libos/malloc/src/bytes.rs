//! Zeroing and copying blocks of multiples of 16 bytes, aligned to 16. Short blocks are written word by word, because that is
//! quicker than starting a string instruction; the writes are volatile, so that the compiler does not make a call of them.

#![expect(unsafe_code, reason = "raw memory")]

use core::arch::asm;
use core::ptr::NonNull;

/// Length in bytes from which string instructions are quicker.
const LONG: usize = 512;

/// Writes zeros.
///
/// # Safety
///
/// The caller owns `length` bytes, rounded up to 8.
pub unsafe fn zero(block: NonNull<u8>, length: usize) {
    let (words, target) = (length.div_ceil(8), block.cast::<u64>().as_ptr());
    if length < LONG {
        for index in 0..words {
            // SAFETY: the caller guarantees `length` bytes, rounded up to 8, and the word lies within them.
            unsafe { target.wrapping_add(index).write_volatile(0) };
        }
        return;
    }
    // SAFETY: the caller guarantees `length` bytes, rounded up to 8; the ABI, that the direction flag is clear.
    unsafe { asm!("rep stosq", inout("rcx") words => _, inout("rdi") target => _, in("rax") 0, options(nostack)) };
}

/// Copies bytes.
///
/// # Safety
///
/// The caller owns `length` bytes, rounded up to 8, of both; they do not overlap.
pub unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, length: usize) {
    let words = length.div_ceil(8);
    let (source, target) = (from.cast::<u64>().as_ptr(), to.cast::<u64>().as_ptr());
    if length < LONG {
        for index in 0..words {
            // SAFETY: the caller guarantees `length` bytes, rounded up to 8, and the word lies within them.
            let word = unsafe { source.wrapping_add(index).read_volatile() };
            // SAFETY: the caller guarantees `length` bytes, rounded up to 8, and the word lies within them.
            unsafe { target.wrapping_add(index).write_volatile(word) };
        }
        return;
    }
    // SAFETY: the caller guarantees `length` bytes, rounded up to 8, of both; the ABI, that the direction flag is clear.
    unsafe {
        asm!("rep movsq", inout("rcx") words => _, inout("rsi") source => _, inout("rdi") target => _, options(nostack));
    }
}
