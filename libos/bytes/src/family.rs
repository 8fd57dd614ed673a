//! The functions of C, as the standard defines them.

#![expect(unsafe_code, reason = "the functions have fixed names and raw arguments")]

#[cfg(target_os = "none")]
use crate::general::General as Ours;
#[cfg(not(target_os = "none"))]
use crate::sse2::Sse2 as Ours;
use crate::{compare, copy, fill};
#[cfg(not(any(test, target_os = "none")))]
use core::arch::asm;
use core::ffi::c_int;

/// memcpy(3).
///
/// # Safety
///
/// `length` bytes can be read and written, and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller guarantees `length` bytes of both, without overlap.
    unsafe { copy::apart::<Ours>(to, from, length) };
    to
}

/// memmove(3).
///
/// # Safety
///
/// `length` bytes can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller guarantees `length` bytes of both.
    unsafe { copy::anywhere::<Ours>(to, from, length) };
    to
}

/// memset(3).
///
/// # Safety
///
/// `length` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: c_int, length: usize) -> *mut u8 {
    // SAFETY: the caller guarantees `length` writable bytes.
    unsafe { fill::fill::<Ours>(to, byte as u8, length) };
    to
}

/// memcmp(3).
///
/// # Safety
///
/// `length` bytes of both can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the caller guarantees `length` readable bytes of both.
    unsafe { compare::compare::<Ours>(one, other, length) }
}

/// bcmp(3), which the compiler calls for comparisons that only test for equality.
///
/// # Safety
///
/// `length` bytes of both can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the caller guarantees `length` readable bytes of both.
    unsafe { compare::compare::<Ours>(one, other, length) }
}

/// Never called, because no function here checks anything; the compiler requires it all the same.
#[cfg(not(any(test, target_os = "none")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `ud2` ends the program by an invalid opcode exception.
    unsafe { asm!("ud2", options(noreturn)) }
}
