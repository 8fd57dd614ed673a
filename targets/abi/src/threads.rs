//! Threads: records by which a tender reports the state of a guest's threads.
//!
//! An image with threads may carry a note of type [`crate::note::THREADS`], a [`Note`], that names a [`Table`] in its memory
//! and the word that identifies the running thread. The guest keeps both up to date and does not take part in a report, so that
//! a report is possible at any time, of a guest in any state. All of it is the guest's claim.
//!
//! The registers of the running thread are the processor's, unless the libos runs ([`crate::turns::Record::inside`]); the
//! registers of any other thread lie in memory.

use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of the note. Each field is the distance from its own address to the object that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// The [`Table`].
    pub table: i64,
    /// Word that holds the address of the [`Registers`] of the running thread.
    pub current: i64,
}

/// Table of all threads.
#[derive(Debug)]
#[repr(C)]
pub struct Table {
    /// Address of an array of words, each the address of a [`Thread`], or 0.
    pub threads: AtomicU64,
    /// Number of words.
    pub count: AtomicU64,
}

/// Record of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Thread {
    /// Address of the thread's [`Registers`].
    pub registers: u64,
    /// Number of the thread; 1 for the first thread.
    pub id: u32,
    /// Not 0 while the thread blocks in the system call that its registers hold.
    pub asleep: u32,
    /// Name of the thread, padded with zeros; optional for the first thread.
    pub name: [u8; 16],
}

/// Registers of a thread: the state in which it continues, or, during a system call, the state with which it made the call.
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
