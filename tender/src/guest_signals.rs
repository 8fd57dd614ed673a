//! What a guest knows of the signals that have arrived for the tender ([`husk_abi::signals`]).

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
    /// The record at this guest address; nothing if it is not the guest's to write. `memory` must outlive it.
    pub fn new(record: u64, memory: &Memory) -> Option<Self> {
        let claim = Claim { address: record, length: size_of::<Record>() as u64 };
        let found = memory.check(claim, Rights::READ | Rights::WRITE).ok()?;
        record.is_multiple_of(8).then_some(Self(found.cast()))
    }

    /// Adds these signals to those that the guest has yet to take.
    pub fn post(&self, signals: u64) {
        self.record().pending.fetch_or(signals, Relaxed);
    }

    /// Whether the guest has yet to take some.
    pub fn pending(&self) -> bool {
        self.record().pending.load(Relaxed) != 0
    }

    fn record(&self) -> &Record {
        // SAFETY: `new` found it in guest memory, aligned; it is an atomic, which the guest may change.
        unsafe { self.0.as_ref() }
    }
}
