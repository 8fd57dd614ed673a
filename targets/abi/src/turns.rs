//! Turns: preemption of a guest's thread that does not give up the processor.
//!
//! A guest has no interrupts, and with threads that switch only at system calls, one that spins would keep another from ever
//! changing the variable it spins on. Therefore an image with threads may carry a note of type [`crate::note::TURNS`], a
//! [`Note`], that names a [`Record`] in its writable memory and an entry. While `ticking` is set, the tender checks, every
//! [`INTERVAL_MS`] milliseconds of processor time that the guest uses, whether the processor is `wanted` and may be taken:
//!
//! - `inside` is 0: the libos does not run;
//! - `rip` lies in the image, but not from [`Note::from`] to [`Note::to`], where threads enter and leave the libos.
//!
//! If so, it sets `inside` to 1, writes `rip` and `rflags` of the thread to the record, and resumes the processor at the entry
//! with every other register as it was. Otherwise the thread keeps its turn until the next check.
//!
//! A check takes time, and a thread that no other thread waits for should lose none. Therefore `ticking` is 0 at first, and
//! becomes 0 again when the tender has found the processor unwanted in [`IDLE_LOOKS`] checks in a row. A guest that sets
//! `wanted` while `ticking` is 0 makes the call [`Tick`](crate::call::Number::Tick), which arms the timer again: at most one
//! call for that many checks.
//!
//! The record is a claim of the guest: a tender reads it once, and relies on no part of it.

use core::sync::atomic::{AtomicU32, AtomicU64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Processor time of the guest between two checks.
pub const INTERVAL_MS: u64 = 2;

/// Number of consecutive checks with an unwanted processor after which a tender disarms the timer.
pub const IDLE_LOOKS: u32 = 4;

/// Body of the note. Each field is the distance from its own address to the object that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// The [`Record`], aligned to 8.
    pub record: i64,
    /// Entry at which a preempted thread continues.
    pub entry: i64,
    /// First instruction of the range in which a thread must not be preempted.
    pub from: i64,
    /// End of that range.
    pub to: i64,
}

/// Preemption state that the guest and its tender share. Its first address and its fields are aligned to 8.
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// Not 0 while a thread waits for the processor, or for a time in the future. Written by the guest.
    pub wanted: AtomicU32,
    /// Not 0 while the libos runs. Written by both.
    pub inside: AtomicU32,
    /// Address at which the thread was preempted. Written by the tender.
    pub rip: AtomicU64,
    /// The thread's flags. Written by the tender.
    pub rflags: AtomicU64,
    /// Not 0 while the timer is armed. Written by the tender.
    pub ticking: AtomicU32,
    /// 0.
    pub reserved: AtomicU32,
}
