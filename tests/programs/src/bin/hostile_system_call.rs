//! Makes a trapping system call with the stack pointer, the GS base or both at an unmapped address.

use std::arch::asm;

/// A canonical address at which nothing is mapped.
const NOWHERE: u64 = 0x1234_5678_9000;

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    // SAFETY: none: the outcome is what is tested.
    unsafe {
        match mode.as_str() {
            "stack" => asm!(
                "mov r12, rsp", "mov rsp, {nowhere}", "jmp 2f", "2: syscall", "mov rsp, r12",
                nowhere = in(reg) NOWHERE, inout("rax") 39u64 => _, out("rcx") _, out("r11") _, out("r12") _,
            ),
            "gs" => asm!(
                "wrgsbase {nowhere}", "jmp 2f", "2: syscall",
                nowhere = in(reg) NOWHERE, inout("rax") 39u64 => _, out("rcx") _, out("r11") _,
            ),
            _ => asm!(
                "wrgsbase {text}", "mov rsp, {nowhere}", "jmp 2f", "2: syscall",
                nowhere = in(reg) NOWHERE, text = in(reg) main as *const () as u64,
                inout("rax") 39u64 => _, out("rcx") _, out("r11") _,
            ),
        }
    }
    println!("survived");
}
