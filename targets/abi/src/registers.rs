//! General registers of a thread, in the one form that libos and tender share.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Registers of a thread: the state in which it continues, or, during a system call, the state with which it made the call.
/// Those from `rip` to `ss` form the frame of `iretq` (Intel SDM volume 3, 7.14.2 "64-Bit Mode Stack Frame").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the processor's")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}
