//! Loads an interrupt table of its own.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("lidt [rsp]") };
    guests::survived();
}
