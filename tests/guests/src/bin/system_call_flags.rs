//! Makes a Linux system call with every flag set that a guest can set: the stub runs with all of them clear.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // Carry, parity, adjust, zero, sign, direction, overflow, NT, AC and ID.
    const FLAGS: u64 = 0x24_4cd5;
    // SAFETY: none: the test is that the guest is stopped.
    unsafe {
        asm!(
            "pushfq", "or [rsp], {flags}", "popfq", "syscall",
            flags = in(reg) FLAGS, inout("eax") 39u64 => _, out("rcx") _, out("r11") _,
        )
    };
    guests::survived();
}
