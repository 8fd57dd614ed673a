//! Threads: records by which a tender reports the state of a guest's threads.
//!
//! An image with threads may carry a note of type [`crate::note::THREADS`], a [`Note`], that names a [`Table`] in its memory;
//! the block of each processor ([`crate::processor::Block`]) names the thread that it runs. The guest keeps both up to date and
//! does not take part in a report, so that a report is possible at any time, of a guest in any state. All of it is the guest's
//! claim.
//!
//! The registers of a running thread are the processor's, unless the libos runs on it; the registers of any other thread lie in
//! memory.

use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of the note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Distance from the address of this field to the [`Table`].
    pub table: i64,
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
    /// Address of the thread's [`Registers`](crate::registers::Registers).
    pub registers: u64,
    /// Number of the thread; 1 for the first thread.
    pub id: u32,
    /// Not 0 while the thread blocks in the system call that its registers hold.
    pub asleep: u32,
    /// Name of the thread, padded with zeros; optional for the first thread.
    pub name: [u8; 16],
}
