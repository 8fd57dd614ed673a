//! Swaps the GS base, which only ring 0 may do.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("swapgs") };
    guests::survived();
}
