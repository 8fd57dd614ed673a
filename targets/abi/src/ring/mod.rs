//! Rings: transfer of data between a guest and its devices without an exit, one layout for every kind of device.
//!
//! A device has one or two *queues* ([`crate::device`]). A queue is a pair of rings in guest memory: the guest writes
//! *requests* to the submission ring, the tender answers each with one [`Completion`] on the completion ring, in any
//! order. A network device has a queue to transmit, and one to receive: there the guest submits empty buffers, and each
//! completion is a frame.
//!
//! **A ring** is an array of entries, and before it three words, each written by one side only:
//!
//! ```text
//! offset 0     producer   how many entries have been written so far, modulo 2^32
//! offset 64    consumer   how many have been read so far, modulo 2^32
//! offset 68    wake_at    number of the entry that wakes the consumer
//! offset 72    beat       of a submission ring: changes while the tender runs (BEAT)
//! offset 128   entries    a power of two of them: entry number n lies at position n modulo their number
//! ```
//!
//! The words of the two sides are 64 bytes apart, so that neither side's write invalidates the other's cache line. All words
//! but the beat are 0 at the start: no entry is written, and both sides are to be woken for the first entry.
//!
//! **A request** is one [`Descriptor`] or several in a row, all but the last with the flag [`Flags::MORE`]: together they are
//! its memory, in order. Token, operation and detail count in the first one only. The guest publishes whole requests. It does
//! not touch the memory of a request before its completion. A request of an operation without memory is one descriptor with a
//! length of 0; the operation defines its [`Descriptor::address`].
//!
//! **Bounds.** The rings of a queue are of the same length, and the guest has at most that many requests under way: before it
//! submits another, it has read the completion of one. Therefore a side that writes always has room, and each side sleeps only
//! until the other writes.
//!
//! **Waking.** A side that finds no entry may sleep: see [`protocol`] for why no wake-up is lost. The guest wakes the tender by
//! its doorbell, one for all queues ([`crate::device::Table::doorbell`]), or by a [`Wait`](crate::call::Number::Wait) for news
//! of devices, which counts as a ring; the tender wakes the guest by ending a [`Wait`](crate::call::Number::Wait) for
//! [`News::DEVICES`](crate::call::News::DEVICES).
//!
//! **Faults.** The tender checks every entry: an index that is further ahead than the ring is long, a request cut off at its
//! end or of more than [`PARTS_MAXIMUM`] descriptors, one too many under way, memory that is not the guest's, an unknown flag
//! or operation, ends the guest with [`crate::fault::CALL`]. A request that a device cannot carry out gets a [`status`]
//! instead.

pub mod protocol;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offset of the producer's word.
pub const PRODUCER: u64 = 0;
/// Offset of the consumer's first word.
pub const CONSUMER: u64 = 64;
/// Offset of the consumer's second word.
pub const WAKE_AT: u64 = 68;
/// Offset of the word that the tender changes before each answer, and each time that it polls for requests beside the running
/// guest and finds none. Never 0, unless the tender does not keep it. A guest that sees the word stand still would poll for a
/// thread that does not run. The word is even while the tender carries out a request that it has taken, else odd: such a thread
/// runs, and the answer comes without the guest's help.
pub const BEAT: u64 = 72;
/// Offset of the entries.
pub const ENTRIES: u64 = 128;
/// Required alignment of a ring's address.
pub const ALIGNMENT: u64 = 128;

/// Most descriptors of one request: enough for 64 KiB in pages, and a header.
pub const PARTS_MAXIMUM: usize = 20;
/// Most bytes of one part of a request.
pub const PART_MAXIMUM: u32 = 1 << 30;

/// Returns the bytes of a ring with `entries` entries of `entry_size` bytes.
pub const fn size(entries: u32, entry_size: usize) -> u64 {
    (ENTRIES + entries as u64 * entry_size as u64).next_multiple_of(ALIGNMENT)
}

/// An entry of a submission ring: a piece of memory, and the operation on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Descriptor {
    /// Guest address of the memory; in a request without memory, defined by the operation.
    pub address: u64,
    /// Length of the memory in bytes, from 1 to [`PART_MAXIMUM`]; 0 in a request without memory.
    pub length: u32,
    /// [`Flags`].
    pub flags: u16,
    /// Operation: 0 if the queue has one operation only.
    pub operation: u16,
    /// Any value of the guest's; the completion repeats it.
    pub token: u64,
    /// Further argument of the operation: 0, unless the operation defines it.
    pub detail: u64,
}

bitflags::bitflags! {
    /// Switches in [`Descriptor::flags`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u16 {
        /// The next descriptor belongs to the same request.
        const MORE = 1;
    }
}

/// An entry of a completion ring: the outcome of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Completion {
    /// Token of the request.
    pub token: u64,
    /// Number of bytes of the request's memory that were read or written.
    pub length: u32,
    /// A value of [`status`].
    pub status: u16,
    /// Flags that the queue defines; else 0.
    pub flags: u16,
}

/// Values of [`Completion::status`].
pub mod status {
    /// The request is done.
    pub const DONE: u16 = 0;
    /// The host could not carry out the request.
    pub const INPUT_OUTPUT: u16 = 1;
    /// The device does not support the request, or not at this place.
    pub const REFUSED: u16 = 2;
}

const _: () = assert!(size_of::<Descriptor>() == 32 && size_of::<Completion>() == 16);
