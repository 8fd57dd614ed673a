//! Signals: delivery of signals that are sent to the tender's own process to the guest.
//!
//! An image that takes signals carries, beside its note about processors, a note of type [`crate::note::SIGNALS`]: a [`Note`]
//! that names a [`Record`] in its writable memory. When a signal of [`FORWARDED`] arrives, the tender sets its bit in
//! `pending`. From then on, while the record is not 0,
//!
//! - a blocking call returns: `Wait` as usual, the others with
//!   [`Status::Interrupted`](crate::call::Status::Interrupted);
//! - a running thread is preempted ([`crate::processor`]), whatever `need_resched` holds.
//!
//! The guest takes all bits at once, by exchanging the record for 0. A guest that takes no signals gets Linux's default action
//! instead: any of [`FORWARDED`] but [`WINDOW_CHANGE`] ends it with the status 128 + n.
//!
//! The guest decides how it handles a signal, except that the first one of [`STOP`] starts a grace period: the tender ends the
//! guest with the status 128 + n when the period is over or a second one arrives. The signal [`QUIT`] is not forwarded: it
//! makes the tender report the guest's threads ([`crate::threads`]).

use core::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Returns the bit of a signal from 1 to 64 in a set.
pub const fn bit(signal: u32) -> u64 {
    1 << (signal.wrapping_sub(1) % 64)
}

/// SIGQUIT.
pub const QUIT: u32 = 3;
/// SIGWINCH: the terminal's size has changed.
pub const WINDOW_CHANGE: u32 = 28;
/// SIGINT and SIGTERM.
pub const STOP: [u32; 2] = [2, 15];
/// Signals that are forwarded to the guest: SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM and SIGWINCH.
pub const FORWARDED: [u32; 6] = [1, 2, 10, 12, 15, WINDOW_CHANGE];

/// Body of the note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Distance from the address of this field to the [`Record`].
    pub record: i64,
}

/// Pending signals. The record's address is a multiple of 8.
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// Bit n-1 for signal n. Set by the tender, taken by the guest.
    pub pending: AtomicU64,
}
