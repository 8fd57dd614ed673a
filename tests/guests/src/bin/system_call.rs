//! Makes a Linux system call although it has no libos.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("syscall", inout("eax") 39u64 => _, out("rcx") _, out("r11") _) };
    guests::survived();
}
