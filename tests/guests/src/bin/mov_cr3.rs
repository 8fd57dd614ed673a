//! Loads page tables of its own.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("mov cr3, {}", in(reg) 0x80000u64) };
    guests::survived();
}
