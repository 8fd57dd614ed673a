//! What the hostile guests share: addresses to attack, and a sign that an attack was survived.

#![no_std]

use core::arch::asm;
use husk::abi::memory::Region;
use husk::boot;

/// Says that nothing stopped the attack: the tests take this line as a failure.
pub fn survived() {
    husk::println!("survived");
}

/// Writes a byte at an address.
pub fn poke(address: u64) {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { (address as *mut u8).write_volatile(0x90) };
}

/// Reads a byte at an address.
pub fn peek(address: u64) -> u8 {
    // SAFETY: none: the test is that the guest is stopped, unless it owns the address.
    unsafe { (address as *const u8).read_volatile() }
}

/// Jumps to an address.
pub fn jump(address: u64) {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

/// The heap that this guest was given.
pub fn heap() -> Region {
    boot::info().heap
}

/// The first program argument as a number, in hexadecimal with 0x.
pub fn argument() -> u64 {
    let argument = boot::arguments().nth(1).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default();
    u64::from_str_radix(argument.trim_start_matches("0x"), 16).expect("an address as first argument")
}

/// Runs out of stack.
pub fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    if depth == 0 { 0 } else { recurse(depth - 1) + frame[63] }
}
