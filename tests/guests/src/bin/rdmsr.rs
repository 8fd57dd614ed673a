//! Reads the system call entry (LSTAR).

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("rdmsr", in("ecx") 0xc000_0082u32, out("eax") _, out("edx") _) };
    guests::survived();
}
