//! Makes a system call with a stack pointer to unmapped memory, although it has no libos.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe {
        asm!(
            "mov rsp, {rsp}",
            "syscall",
            rsp = in(reg) 0xdead_beef_0000u64,
            inout("eax") 39u64 => _,
            out("rcx") _,
            out("r11") _,
        );
    }
    guests::survived();
}
