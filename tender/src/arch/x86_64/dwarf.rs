//! Registers in the order of call frame information, and as a table for people.
//!
//! Numbers are those of DWARF (System V ABI for x86-64, figure 3.36).

use crate::arch::registers::Registers;
use std::fmt;

/// Number of general registers.
pub const COUNT: usize = 16;
/// Number of the return address, after those of the general registers.
pub const RETURN_ADDRESS: usize = COUNT;
/// Number of the frame pointer, `rbp`.
pub const FRAME_POINTER: usize = 6;
/// Number of the stack pointer, `rsp`.
pub const STACK_POINTER: usize = 7;
/// Numbers of the registers that hold the return address and the stack pointer of a trapped system call: `rcx` and `r11`.
pub const TRAPPED: [usize; 2] = [2, 11];
/// Callee-saved registers (System V ABI, figure 3.4): rbx, rbp, r12 to r15.
pub const PRESERVED: [usize; 6] = [3, 6, 12, 13, 14, 15];
/// Numbers of the registers in Linux's `struct sigcontext`, which the instruction pointer follows
/// (arch/x86/include/uapi/asm/sigcontext.h): r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp.
pub const SIGNAL_FRAME: [usize; COUNT] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7];
/// Words of Linux's `struct ucontext` before its `struct sigcontext`.
pub const SIGNAL_FRAME_HEAD: u64 = 5;

/// The general registers in the order of their numbers.
pub fn numbered(r: &Registers) -> [u64; COUNT] {
    [r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]
}

/// Shows registers, four a line.
pub struct Table<'r>(pub &'r Registers);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        let rows = [
            [("rip", r.rip), ("rsp", r.rsp), ("rbp", r.rbp), ("rflags", r.rflags)],
            [("rax", r.rax), ("rbx", r.rbx), ("rcx", r.rcx), ("rdx", r.rdx)],
            [("rsi", r.rsi), ("rdi", r.rdi), ("r8", r.r8), ("r9", r.r9)],
            [("r10", r.r10), ("r11", r.r11), ("r12", r.r12), ("r13", r.r13)],
            [("r14", r.r14), ("r15", r.r15), ("fs", r.fs_base), ("gs", r.gs_base)],
        ];
        for row in rows {
            write!(f, "  ")?;
            row.iter().try_for_each(|(name, value)| write!(f, "  {name:>6} {value:016x}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
