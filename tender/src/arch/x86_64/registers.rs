//! The registers of a guest, as a report shows them.

use husk_abi::registers::Registers as General;
use std::ops::{Deref, DerefMut};

/// General registers, segment bases, and the address of the last page fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// General registers, instruction pointer and flags.
    pub general: General,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS.
    pub gs_base: u64,
    /// Address of the last page fault.
    pub cr2: u64,
}

impl Deref for Registers {
    type Target = General;

    fn deref(&self) -> &General {
        &self.general
    }
}

impl DerefMut for Registers {
    fn deref_mut(&mut self) -> &mut General {
        &mut self.general
    }
}

impl From<General> for Registers {
    fn from(general: General) -> Self {
        Self { general, ..Self::default() }
    }
}

impl Registers {
    /// Program counter.
    pub fn pc(&self) -> u64 {
        self.rip
    }

    /// Sets the program counter.
    pub fn set_pc(&mut self, pc: u64) {
        self.rip = pc;
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        self.rsp
    }

    /// Processor flags.
    pub fn flags(&self) -> u64 {
        self.rflags
    }

    /// Address of the last page fault.
    pub fn fault_address(&self) -> u64 {
        self.cr2
    }

    /// Number and first argument of the system call that the registers make.
    pub fn system_call(&self) -> (u64, u64) {
        (self.rax, self.rdi)
    }

    /// Registers with a program counter, a stack pointer, a frame pointer, and one other callee-saved register.
    #[cfg(any(test, fuzzing))]
    pub fn with_frame(pc: u64, sp: u64, fp: u64, other: u64) -> Self {
        General { rip: pc, rsp: sp, rbp: fp, rbx: other, ..Default::default() }.into()
    }
}
