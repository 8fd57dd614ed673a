//! Loads a descriptor table of its own.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("lgdt [rsp]") };
    guests::survived();
}
