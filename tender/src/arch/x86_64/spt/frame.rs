//! Registers of a guest that was stopped by a signal: in the signal frame that the
//! kernel made, and from which it resumes the guest.

use crate::arch::registers::Registers;
use husk_abi::registers::Registers as General;
use libc::{
    REG_CR2, REG_EFL, REG_ERR, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP,
    REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP, REG_TRAPNO, ucontext_t,
};

/// Reads a register of the frame.
pub fn get(context: &ucontext_t, register: libc::c_int) -> u64 {
    context.uc_mcontext.gregs[register as usize] as u64
}

/// Sets a register for when the guest continues.
pub fn set(context: &mut ucontext_t, register: libc::c_int, value: u64) {
    context.uc_mcontext.gregs[register as usize] = value as i64;
}

/// Vector and error code of the exception that raised the signal.
pub fn exception(context: &ucontext_t) -> (u8, u64) {
    (get(context, REG_TRAPNO) as u8, get(context, REG_ERR))
}

/// Reads all registers, except segment bases.
pub fn registers(context: &ucontext_t) -> Registers {
    let get = |register| get(context, register);
    let general = General {
        rax: get(REG_RAX),
        rbx: get(REG_RBX),
        rcx: get(REG_RCX),
        rdx: get(REG_RDX),
        rsi: get(REG_RSI),
        rdi: get(REG_RDI),
        rbp: get(REG_RBP),
        rsp: get(REG_RSP),
        r8: get(REG_R8),
        r9: get(REG_R9),
        r10: get(REG_R10),
        r11: get(REG_R11),
        r12: get(REG_R12),
        r13: get(REG_R13),
        r14: get(REG_R14),
        r15: get(REG_R15),
        rip: get(REG_RIP),
        rflags: get(REG_EFL),
        ..Default::default()
    };
    Registers { cr2: get(REG_CR2), ..general.into() }
}

/// Diverts a system call of the guest to `dispatcher` instead of the kernel, as the processor and the stub of a virtual machine
/// do: with the address after the instruction in `rcx` and the stack pointer in `r11`.
pub fn system_call(context: &mut ucontext_t, dispatcher: u64) {
    /// TF, DF and AC.
    const CLEARED: u64 = 1 << 8 | 1 << 10 | 1 << 18;
    for (register, value) in [
        (REG_RCX, get(context, REG_RIP)),
        (REG_R11, get(context, REG_RSP)),
        (REG_RSP, 0),
        (REG_RIP, dispatcher),
        (REG_EFL, get(context, REG_EFL) & !CLEARED),
    ] {
        set(context, register, value);
    }
}
