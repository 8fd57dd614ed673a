//! Threads: where a tender finds out what those of a guest are doing, for a report.
//!
//! An image with threads may carry a note of type [`crate::note::THREADS`], a [`Note`], that names a [`Table`] in its
//! memory and the word that tells which thread has the processor. The guest keeps both up to date and is not asked: so
//! a report can be had at any time, of a guest in any state. All of it is the guest's claim.
//!
//! The registers of the thread that has the processor are the processor's, unless the libos is at work
//! ([`crate::turns::Record::inside`]); those of any other lie in memory.

use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of the note. Each field is the distance from its own address to what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// The [`Table`].
    pub table: i64,
    /// A word: the address of the [`Registers`] of the thread that has the processor.
    pub current: i64,
}

/// The threads that there are.
#[derive(Debug)]
#[repr(C)]
pub struct Table {
    /// Address of an array of words, each the address of a [`Thread`], or 0.
    pub threads: AtomicU64,
    /// Number of words.
    pub count: AtomicU64,
}

/// One thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Thread {
    /// Address of its [`Registers`].
    pub registers: u64,
    /// Its number; the first thread's is 1.
    pub id: u32,
    /// Not 0 while it waits in the system call that its registers tell.
    pub asleep: u32,
    /// Its name, padded with zeros; the first thread need not have one.
    pub name: [u8; 16],
}

/// A thread's registers: where it goes on, or, while it is in a system call, with what it made it.
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
