//! Writes to a port that it may not use.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("out dx, al", in("dx") 0x80u16, in("al") 0u8) };
    guests::survived();
}
