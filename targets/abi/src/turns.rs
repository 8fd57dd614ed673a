//! Turns: how a tender takes the processor from a guest's thread that does not give it up.
//!
//! A guest has no interrupts, and threads that switch only at system calls would let one that spins keep another from
//! ever changing what it spins on. So an image with threads may carry a note of type [`crate::note::TURNS`], a
//! [`Note`], that names a [`Record`] in its writable memory and an entry. While `ticking` is set, the tender looks, every
//! [`INTERVAL_MS`] milliseconds of processor time that the guest uses, whether the processor is `wanted` and may be taken:
//!
//! - `inside` is 0: the libos is not at work;
//! - `rip` lies in the image, but not from [`Note::from`] to [`Note::to`], where the libos comes and goes.
//!
//! If so, it sets `inside` to 1, writes `rip` and `rflags` of the thread to the record, and lets the processor go on at
//! the entry with every other register as it was. Otherwise the guest keeps its turn until the next time.
//!
//! A look takes time, and a thread that nobody waits for should not lose any. So `ticking` is 0 at first, and becomes 0
//! again when a tender has found nothing wanted for [`IDLE_LOOKS`] looks. Who sets `wanted` then, and finds `ticking`
//! to be 0, makes the call [`Tick`](crate::call::Number::Tick): from there on the tender looks again. It is one call for
//! so many looks at most.
//!
//! The record is the guest's to spoil: a tender reads it once, and relies on nothing in it.

use core::sync::atomic::{AtomicU32, AtomicU64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How much processor time of the guest passes from one look to the next.
pub const INTERVAL_MS: u64 = 2;

/// After how many looks, one after the other, at which nobody wanted the processor, a tender stops looking.
pub const IDLE_LOOKS: u32 = 4;

/// Body of the note. Each field is the distance from its own address to what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// The [`Record`], aligned to 8.
    pub record: i64,
    /// Where a thread goes on whose turn is over.
    pub entry: i64,
    /// The first instruction of those among which a thread must not be stopped.
    pub from: i64,
    /// The end of those instructions.
    pub to: i64,
}

/// What the guest and its tender share about turns. Its first address and its fields are aligned to 8.
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// Not 0 while a thread waits for the processor, or for a time that is yet to come. Written by the guest.
    pub wanted: AtomicU32,
    /// Not 0 while the libos is at work. Written by both.
    pub inside: AtomicU32,
    /// Where the thread was. Written by the tender.
    pub rip: AtomicU64,
    /// The thread's flags. Written by the tender.
    pub rflags: AtomicU64,
    /// Not 0 while the tender looks. Written by the tender.
    pub ticking: AtomicU32,
    /// 0.
    pub reserved: AtomicU32,
}
