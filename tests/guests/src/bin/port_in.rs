//! Reads from a port that it may not use.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("in al, dx", in("dx") 0x60u16, out("al") _) };
    guests::survived();
}
