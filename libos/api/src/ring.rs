//! The guest's side of a device queue: see [`husk_abi::ring`].
//!
//! Drivers are built on this module; programs use the drivers: [`crate::net`], [`crate::block`].

#![expect(unsafe_code, reason = "rings are memory that is shared with the tender, reached by address")]

use crate::device;
use crate::wait::Watches;
use core::sync::atomic::AtomicU32;
use husk_abi::device::Queue as Place;
use husk_abi::ring::protocol::{Consumer, OutOfStep, Producer, Words};
use husk_abi::ring::{BEAT, CONSUMER, Completion, Descriptor, ENTRIES, Flags, PRODUCER, WAKE_AT};

/// A queue.
#[derive(Debug)]
pub struct Queue {
    requests: Producer<&'static AtomicU32>,
    completions: Consumer<&'static AtomicU32>,
    descriptors: *mut Descriptor,
    answers: *const Completion,
    entries: u32,
    under_way: u32,
    beat: &'static AtomicU32,
}

// SAFETY: the pointers lead to rings, which are not bound to a thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Returns the queue at `place`.
    ///
    /// # Safety
    ///
    /// The place comes from the tender's table, and is used by one queue only.
    pub unsafe fn new(place: &Place) -> Self {
        let word = |ring: u64, offset: u64| {
            // SAFETY: the caller guarantees a ring at this address, and the contract these words in it.
            unsafe { &*((ring + offset) as *const AtomicU32) }
        };
        let words = |ring| Words {
            producer: word(ring, PRODUCER),
            consumer: word(ring, CONSUMER),
            wake_at: word(ring, WAKE_AT),
        };
        Self {
            requests: Producer::new(words(place.submission), place.entries),
            completions: Consumer::new(words(place.completion), place.entries),
            descriptors: (place.submission + ENTRIES) as *mut Descriptor,
            answers: (place.completion + ENTRIES) as *const Completion,
            entries: place.entries,
            under_way: 0,
            beat: word(place.submission, BEAT),
        }
    }

    /// Adds the word that changes with the next completion.
    pub fn watch(&self, watches: &mut Watches) {
        let (index, seen) = self.completions.watch();
        watches.index(index, seen);
    }

    /// Adds the word that changes while the tender runs ([`BEAT`]).
    pub fn watch_beat(&self, watches: &mut Watches) {
        watches.beat(self.beat);
    }

    /// Returns the maximum number of requests under way.
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Submits a request of these parts, invisible to the tender until it is published. Returns true if there was room for it.
    ///
    /// # Safety
    ///
    /// The memory that the parts name is not accessed before the request is completed.
    pub unsafe fn submit(&mut self, parts: &[Descriptor]) -> bool {
        let room = self.under_way < self.entries && trust(self.requests.has_room(parts.len() as u32));
        if !room {
            return false;
        }
        for (index, part) in parts.iter().enumerate() {
            let flags = if index + 1 < parts.len() { Flags::MORE } else { Flags::empty() };
            let descriptor = Descriptor { flags: flags.bits(), ..*part };
            let position = self.requests.write() as usize;
            // SAFETY: the producer keeps the position below the number of entries, which the contract says the ring has.
            let entry = unsafe { self.descriptors.add(position) };
            // SAFETY: the entry lies in the ring, and the tender reads it only after it is published.
            unsafe { entry.write_volatile(descriptor) };
        }
        self.under_way += 1;
        true
    }

    /// Publishes the submitted requests, and wakes the tender if it asked for that.
    pub fn publish(&mut self) {
        if self.show() {
            device::ring_doorbell();
        }
    }

    /// Publishes the submitted requests. Returns true if the tender must be woken for them.
    #[must_use]
    pub fn show(&mut self) -> bool {
        self.requests.publish()
    }

    /// Takes the next completion.
    pub fn complete(&mut self) -> Option<Completion> {
        if !self.has_completion() {
            return None;
        }
        let position = self.completions.read() as usize;
        // SAFETY: the consumer keeps the position below the number of entries, which the contract says the ring has.
        let entry = unsafe { self.answers.add(position) };
        // SAFETY: the entry lies in the ring, and the tender wrote it before it published it.
        let completion = unsafe { entry.read_volatile() };
        self.completions.release();
        self.under_way = self.under_way.saturating_sub(1);
        Some(completion)
    }

    /// Returns true if there is a completion.
    #[inline]
    pub fn has_completion(&mut self) -> bool {
        trust(self.completions.available()) > 0
    }

    /// Requests a wake-up for the next completion. Returns true if there is none yet, so that the caller may wait for
    /// [`News::DEVICES`](husk_abi::call::News::DEVICES).
    pub fn sleep(&mut self) -> bool {
        trust(self.completions.sleep())
    }
}

/// Unwraps an index of the tender, which runs this guest: a violation cannot be handled.
fn trust<T>(index: Result<T, OutOfStep>) -> T {
    index.expect("the tender keeps to the protocol")
}
