//! The registers of a guest, as a report shows them.

#![expect(missing_docs, reason = "the names are the processor's")]

/// General registers, instruction pointer, flags, segment bases, and the address of the last page fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub cr2: u64,
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
        Self { rip: pc, rsp: sp, rbp: fp, rbx: other, ..Self::default() }
    }
}
