//! Helpers of native guests: arguments, pseudorandom numbers, and for the hostile ones addresses to attack, and a
//! sign that an attack was survived.

#![no_std]

pub mod owner;

use core::arch::asm;
use husk::abi::memory::Region;
use husk::boot;

/// Prints that nothing stopped the attack: the tests take this line as a failure.
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

/// Reads a word at an address of any alignment.
pub fn peek_word(address: u64) -> u64 {
    // SAFETY: none: the test is that the guest is stopped, unless it shares memory with its tender.
    unsafe { (address as *const u64).read_unaligned() }
}

/// Writes to a port by an instruction outside the tender, as the argument says: `rep` for a string, `one` for one byte of
/// a string, `wide` for two bytes, any other word for the tender's own kind of instruction, at another place.
pub fn write_to_port(port: u16) {
    let bytes = [0u8; 64];
    let from = bytes.as_ptr();
    match word(1) {
        // SAFETY: none: the test is that the guest is stopped.
        "rep" => unsafe { asm!("rep outsb", in("dx") port, inout("rsi") from => _, inout("rcx") bytes.len() => _) },
        // SAFETY: none: the test is that the guest is stopped.
        "one" => unsafe { asm!("outsb", in("dx") port, inout("rsi") from => _) },
        // SAFETY: none: the test is that the guest is stopped.
        "wide" => unsafe { asm!("out dx, ax", in("dx") port, in("ax") 0u16) },
        // SAFETY: none: the test is that the guest is stopped.
        _ => unsafe { asm!("out dx, al", in("dx") port, in("al") 0u8) },
    }
}

/// Jumps to an address.
pub fn jump(address: u64) {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

/// Returns the heap of this guest.
pub fn heap() -> Region {
    boot::info().heap
}

/// Returns a program argument; index 0 is the program's own name.
pub fn word(index: usize) -> &'static str {
    boot::arguments().nth(index).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Returns the first program argument as a number, which is in hexadecimal with 0x.
pub fn argument() -> u64 {
    u64::from_str_radix(word(1).trim_start_matches("0x"), 16).expect("an address as first argument")
}

/// Generator of pseudorandom numbers, which are the same for the same seed (xorshift, by Marsaglia).
#[derive(Clone, Copy, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}

/// Runs out of stack.
pub fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    if depth == 0 { 0 } else { recurse(depth - 1) + frame[63] }
}
