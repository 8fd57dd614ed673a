//! Processors: what a guest and its tender know of each, and preemption of a thread that does not give one up.
//!
//! An image with threads may carry a note of type [`crate::note::PROCESSORS`], a [`Note`], that names an array of [`Block`]s in
//! its writable memory, one for each processor that it can use, and an entry. A tender gives a guest at most that many
//! processors; today it gives one, the first.
//!
//! A guest has no interrupts, and with threads that switch only at system calls, one that spins would keep another from ever
//! changing the variable it spins on. Therefore, while `armed` is set, the tender checks, every [`INTERVAL_MS`] milliseconds of
//! processor time that the guest uses, whether the processor is to be given to another thread (`need_resched`) and may be taken:
//!
//! - `in_libos` is 0: the libos does not run;
//! - the program counter lies in the image, but not from [`Note::from`] to [`Note::to`], where threads enter and leave the libos.
//!
//! If so, it sets `in_libos` to 1, writes `pc` and `flags` of the thread to the block, and resumes the processor at the entry
//! with every other register as it was. Otherwise the thread keeps the processor until the next check.
//!
//! A check takes time, and a thread that no other thread waits for should lose none. Therefore `armed` is 0 at first, and
//! becomes 0 again when the tender has found `need_resched` clear in [`IDLE_CHECKS`] checks in a row. A guest that sets
//! `need_resched` while `armed` is 0 makes the call [`Tick`](crate::call::Number::Tick), which arms the timer again: at most one
//! call for that many checks.
//!
//! A block is a claim of the guest: a tender reads it once, and relies on no part of it.

use core::sync::atomic::{AtomicU32, AtomicU64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Processor time of the guest between two checks.
pub const INTERVAL_MS: u64 = 2;

/// Number of consecutive checks without a need to preempt after which a tender disarms the timer.
pub const IDLE_CHECKS: u32 = 4;

/// Body of the note. Each signed field is the distance from its own address to the object that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// The first [`Block`]; the others follow it.
    pub blocks: i64,
    /// Number of blocks, at least 1.
    pub count: u64,
    /// Entry at which a preempted thread continues.
    pub entry: i64,
    /// First instruction of the range in which a thread must not be preempted.
    pub from: i64,
    /// End of that range.
    pub to: i64,
}

/// State of a processor that the guest and its tender share.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Block {
    /// Address of the [`Registers`](crate::registers::Registers) of the thread that the processor runs. Written by the guest.
    pub current: AtomicU64,
    /// Not 0 while a thread waits for the processor, or for a time in the future. Written by the guest.
    pub need_resched: AtomicU32,
    /// Not 0 while the libos runs. Written by both.
    pub in_libos: AtomicU32,
    /// Address at which the thread was preempted. Written by the tender.
    pub pc: AtomicU64,
    /// The preempted thread's flags. Written by the tender.
    pub flags: AtomicU64,
    /// Not 0 while the timer is armed. Written by the tender.
    pub armed: AtomicU32,
    /// 0.
    pub reserved: AtomicU32,
    /// End of the stack that the libos runs on, of the guest's own choice: the tender names only the stack on which the first
    /// processor starts ([`crate::boot::Info::libos_stack`]).
    pub libos_stack: AtomicU64,
    /// Words for the guest's own use.
    pub own: [AtomicU64; 2],
}

const _: () = assert!(size_of::<Block>() == 64, "one line of the cache, which no other processor writes");

impl Block {
    /// Block of a processor before its start. The libos runs first, so `in_libos` starts as 1.
    pub const fn new() -> Self {
        Self {
            current: AtomicU64::new(0),
            need_resched: AtomicU32::new(0),
            in_libos: AtomicU32::new(1),
            pc: AtomicU64::new(0),
            flags: AtomicU64::new(0),
            armed: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            libos_stack: AtomicU64::new(0),
            own: [const { AtomicU64::new(0) }; 2],
        }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self::new()
    }
}
