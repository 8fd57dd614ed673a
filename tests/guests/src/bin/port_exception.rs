//! Pretends to be an exception stub.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("out 0x2e, al", in("al") 0u8) };
    guests::survived();
}
