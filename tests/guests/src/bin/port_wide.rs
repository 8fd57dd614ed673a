//! Writes to four ports at once, of which only the first is allowed.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("out 0x10, eax", in("eax") 0u32) };
    guests::survived();
}
