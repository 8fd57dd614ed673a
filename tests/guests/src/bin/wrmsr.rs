//! Moves the system call entry (LSTAR).

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("wrmsr", in("ecx") 0xc000_0082u32, in("eax") 0x1000u32, in("edx") 0u32) };
    guests::survived();
}
