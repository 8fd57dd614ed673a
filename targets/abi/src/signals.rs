//! Signals: how one that is sent to the tender's own process reaches the guest.
//!
//! An image that takes signals carries, beside its note about turns, a note of type [`crate::note::SIGNALS`]: a [`Note`]
//! that names a [`Record`] in its writable memory. When a signal of [`TOLD`] arrives, the tender sets its bit in
//! `pending`. From then on, as long as the record is not 0,
//!
//! - a call that would wait comes back: `Wait` as it does at other times, the others with
//!   [`Status::Interrupted`](crate::call::Status::Interrupted);
//! - a thread that runs is stopped as when its turn is over ([`crate::turns`]), whether or not that is `wanted`.
//!
//! The guest takes all bits at once, by exchanging the record for 0. A guest that takes no signals gets Linux's default
//! instead: any of [`TOLD`] but [`WINDOW_CHANGE`] ends it with the status 128 + n.
//!
//! What a guest does about a signal is its own affair, but for those of [`STOP`]: the first one starts a time of grace,
//! and the tender ends the guest with the status 128 + n when that is over or a second one arrives. The signal
//! [`QUIT`] is not passed on: it asks the tender what the guest's threads do
//! ([`crate::threads`]).

use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The bit of a signal from 1 to 64 in a set.
pub const fn bit(signal: u32) -> u64 {
    1 << (signal.wrapping_sub(1) % 64)
}

/// SIGQUIT.
pub const QUIT: u32 = 3;
/// SIGWINCH: the terminal has another size.
pub const WINDOW_CHANGE: u32 = 28;
/// SIGINT and SIGTERM.
pub const STOP: [u32; 2] = [2, 15];
/// Those, SIGHUP, SIGUSR1, SIGUSR2 and SIGWINCH.
pub const TOLD: [u32; 6] = [1, 2, 10, 12, 15, WINDOW_CHANGE];

/// Body of the note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Distance from the address of this field to the [`Record`].
    pub record: i64,
}

/// What has arrived. Its address is a multiple of 8.
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// Bit n-1 for signal n. Set by the tender, taken by the guest.
    pub pending: AtomicU64,
}
