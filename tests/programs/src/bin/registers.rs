//! Makes system calls through a patched and through a trapping site with every register set, and checks them all.

use std::arch::asm;

/// Sets and checks all general registers that a system call must leave alone, and one vector register.
macro_rules! check {
    ($($site:literal),*) => {{
        let mut wrong: u64;
        // SAFETY: getppid touches no memory; rbx and rbp are saved around, the red zone is left alone by not pushing
        // below what the compiler uses.
        unsafe {
            asm!(
                "sub rsp, 256", "push rbx", "push rbp",
                "mov rbx, 0x11", "mov rbp, 0x22", "mov rdi, 0x33", "mov rsi, 0x44", "mov rdx, 0x55", "mov r8, 0x66",
                "mov r9, 0x77", "mov r10, 0x88", "mov r12, 0x99", "mov r13, 0xaa", "mov r14, 0xbb", "mov r15, 0xcc",
                "movq xmm7, r15", "mov qword ptr [rsp - 8], 0x1234", "mov eax, 110", "nop", "nop",
                $($site,)*
                "xor rbx, 0x11", "xor rbp, 0x22", "xor rdi, 0x33", "xor rsi, 0x44", "xor rdx, 0x55", "xor r8, 0x66",
                "xor r9, 0x77", "xor r10, 0x88", "xor r12, 0x99", "xor r13, 0xaa", "xor r14, 0xbb",
                "movq rax, xmm7", "xor rax, r15", "xor r15, 0xcc", "mov rcx, [rsp - 8]", "xor rcx, 0x1234",
                "or rax, rbx", "or rax, rbp", "or rax, rdi", "or rax, rsi", "or rax, rdx", "or rax, r8", "or rax, r9",
                "or rax, r10", "or rax, r12", "or rax, r13", "or rax, r14", "or rax, r15", "or rax, rcx",
                "pop rbp", "pop rbx", "add rsp, 256",
                out("rax") wrong, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _,
                out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _, out("xmm7") _,
            );
        }
        wrong
    }};
}

fn main() {
    assert_eq!(check!("syscall"), 0, "a site that can be patched");
    assert_eq!(check!("jmp 2f", "2: syscall"), 0, "a site that traps");
    println!("all registers kept");
}
