//! The functions of C, each as its standard has it.

#![expect(unsafe_code, reason = "the functions have fixed names and raw arguments")]

use crate::{compare, copy, fill};
#[cfg(not(test))]
use core::arch::asm;
use core::ffi::c_int;

/// memcpy(3).
///
/// # Safety
///
/// So many bytes can be read and written, and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { copy::apart(to, from, length) };
    to
}

/// memmove(3).
///
/// # Safety
///
/// So many bytes can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { copy::anywhere(to, from, length) };
    to
}

/// memset(3).
///
/// # Safety
///
/// So many bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: c_int, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { fill::fill(to, byte as u8, length) };
    to
}

/// memcmp(3).
///
/// # Safety
///
/// So many bytes can be read of both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { compare::compare(one, other, length) }
}

/// bcmp(3), to which the compiler turns comparisons that only ask whether there is a difference.
///
/// # Safety
///
/// As for [`memcmp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { compare::compare(one, other, length) }
}

/// Nothing here checks anything, so nothing panics; the compiler wants to know nevertheless.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: an instruction that does not exist ends the program.
    unsafe { asm!("ud2", options(noreturn)) }
}
