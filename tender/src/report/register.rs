//! Registers in the order of call frame information, and as a table for people.

use crate::arch::registers::Registers;
use std::fmt;

/// Number of general registers.
pub const COUNT: usize = 16;
/// Number of `rcx`.
pub const RCX: usize = 2;
/// Number of `rbp`.
pub const RBP: usize = 6;
/// Number of `rsp`.
pub const RSP: usize = 7;
/// Number of `r11`.
pub const R11: usize = 11;

/// The general registers in the order of their DWARF numbers (System V ABI for x86-64, figure 3.36).
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
