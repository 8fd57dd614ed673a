//! The record, in guest memory, of signals that have arrived for the tender ([`husk_abi::signals`]).

#![expect(unsafe_code, reason = "the record is guest memory")]

use crate::memory::{Claim, Memory};
use husk_abi::memory::Rights;
use husk_abi::signals::Record;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

/// The record of a guest that takes signals.
#[derive(Debug)]
pub struct GuestSignals(NonNull<Record>);

impl GuestSignals {
    /// Returns the record at this guest address; nothing if the guest may not write there. `memory` must outlive the record.
    pub fn new(record: u64, memory: &Memory) -> Option<Self> {
        let claim = Claim { address: record, length: size_of::<Record>() as u64 };
        let found = memory.check(claim, Rights::READ | Rights::WRITE).ok()?;
        record.is_multiple_of(8).then_some(Self(found.cast()))
    }

    /// Adds these signals to those that are pending for the guest.
    pub fn post(&self, signals: u64) {
        self.record().pending.fetch_or(signals, Relaxed);
    }

    /// Returns true if signals are pending.
    pub fn pending(&self) -> bool {
        self.record().pending.load(Relaxed) != 0
    }

    fn record(&self) -> &Record {
        // SAFETY: `new` checked that the record is aligned and in guest memory, which outlives it; its field is an atomic,
        // which the guest may change.
        unsafe { self.0.as_ref() }
    }
}
