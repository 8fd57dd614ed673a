//! General registers of a thread, as the system call entry saves and restores them.

#![expect(unsafe_code, reason = "segment registers are reached by instructions of their own")]

use super::processor;
use core::arch::asm;
use core::ops::{Deref, DerefMut};
use husk::abi::registers as abi;

/// Saved registers of a thread. A system call clobbers `rcx` and `r11`; these, the segments and `rflags` are valid only in a whole
/// set.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// The registers that a tender reads, first, and that the entry addresses by their offsets.
    pub general: abi::Registers,
    /// Flags of a comparison, unless whole: as `lahf; seto al` leaves them in `ax`. Compilers may keep a condition across a
    /// system call, because Linux preserves it.
    pub status: u64,
    /// Not 0 if every field is valid, because the thread was stopped at an arbitrary instruction; 0 if it made a call.
    pub whole: u64,
}

impl Deref for Registers {
    type Target = abi::Registers;

    #[inline]
    fn deref(&self) -> &abi::Registers {
        &self.general
    }
}

impl DerefMut for Registers {
    #[inline]
    fn deref_mut(&mut self) -> &mut abi::Registers {
        &mut self.general
    }
}

impl From<abi::Registers> for Registers {
    fn from(general: abi::Registers) -> Self {
        Self { general, status: 0, whole: 0 }
    }
}

impl Registers {
    /// Returns registers of a thread that starts at `entry` with its stack pointer at `stack`, all others zero.
    pub fn start(entry: u64, stack: u64) -> Self {
        abi::Registers { rip: entry, rsp: stack, ..Default::default() }.into()
    }

    /// Returns registers of a thread that starts as if `function` had been called with `arguments`, all others zero. `stack` is
    /// a multiple of 16, with a zero word below it as the return address.
    pub fn call(function: u64, stack: u64, [rdi, rsi, rdx]: [u64; 3]) -> Self {
        abi::Registers { rip: function, rsp: stack - 8, rdi, rsi, rdx, ..Default::default() }.into()
    }

    /// The thread's stack pointer.
    pub fn stack(&self) -> u64 {
        self.rsp
    }

    /// Number of the thread's system call.
    #[inline]
    pub fn number(&self) -> u64 {
        self.rax
    }

    /// Arguments of the system call.
    #[inline]
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Sets the result of the system call.
    #[inline]
    pub fn set_result(&mut self, result: i64) {
        self.rax = result as u64;
    }

    /// Returns these registers with another stack pointer.
    pub fn on_stack(&self, stack: u64) -> Self {
        let mut registers = self.clone();
        registers.rsp = stack;
        registers
    }

    /// Completes the registers of a preempted thread, with the general ones saved already.
    pub fn stopped(&mut self, rip: u64, flags: u64, stack: u64) {
        (self.general.rip, self.general.rsp) = (rip, stack);
        self.make_whole(flags);
    }

    /// Restarts the call `number` that the thread has just made, before the thread sees a result: with the registers of that
    /// call, at the entry that a patched site jumps to.
    pub fn restart(&mut self, number: u64) {
        (self.general.rax, self.general.rcx) = (number, self.general.rip);
        let flags = self.flags();
        self.stopped(processor::direct(), flags, self.rsp);
    }

    /// Flags with which the thread continues.
    pub fn flags(&self) -> u64 {
        if self.whole != 0 {
            return self.rflags;
        }
        // `lahf` put the low byte of the flags into bits 8 to 15, `seto` the overflow flag into bit 0.
        let [overflow, low, ..] = self.status.to_le_bytes();
        FIXED_FLAGS | u64::from(low) | u64::from(overflow) << 11
    }

    /// Makes the set whole, with these flags: only those that a program may change by itself are taken.
    pub fn make_whole(&mut self, flags: u64) {
        self.rflags = flags & PROGRAM_FLAGS | FIXED_FLAGS;
        self.whole = 1;
        // SAFETY: the instruction reads CS and accesses no memory.
        unsafe { asm!("mov {:e}, cs", out(reg) self.general.cs, options(nomem, nostack, preserves_flags)) };
        // SAFETY: the instruction reads SS and accesses no memory.
        unsafe { asm!("mov {:e}, ss", out(reg) self.general.ss, options(nomem, nostack, preserves_flags)) };
    }
}

/// Flags that are always set: the reserved bit 1, and IF, which the guest cannot change.
const FIXED_FLAGS: u64 = 1 << 1 | 1 << 9;
/// CF, PF, AF, ZF, SF, TF, DF, OF and AC.
const PROGRAM_FLAGS: u64 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_a_call_are_those_that_a_comparison_sets() {
        let registers = Registers { status: 0x4701, ..Registers::default() };
        assert_eq!(registers.flags(), 0x202 | 0x45 | 0x800 | 0x2);
    }

    #[test]
    fn a_whole_set_has_segments_and_no_flag_that_is_not_the_programs() {
        let mut registers = Registers::start(1, 2);
        registers.make_whole(u64::MAX);
        assert_eq!(registers.flags() >> 12 & 3, 0, "IOPL");
        assert_eq!(registers.cs & 3, 3);
        assert_eq!(registers.ss & 3, 3);
    }
}
