//! A queue of a device, as the guest uses it: see [`husk_abi::ring`].
//!
//! This is what drivers are made of; programs use those: [`crate::net`], [`crate::block`].

#![expect(unsafe_code, reason = "rings are memory that is shared with the tender, reached by address")]

use crate::device;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;
use husk_abi::device::Queue as Place;
use husk_abi::ring::protocol::{Consumer, OutOfStep, Producer, Words};
use husk_abi::ring::{BEAT, CONSUMER, Completion, Descriptor, ENTRIES, Flags, PRODUCER, WAKE_AT};

/// One queue.
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
    /// The queue at `place`.
    ///
    /// # Safety
    ///
    /// The place was told by the tender, and nobody else uses it.
    pub unsafe fn new(place: &Place) -> Self {
        let word = |ring: u64, offset: u64| {
            // SAFETY: the caller vouches for the ring, the contract for the words in it.
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

    /// The word that changes while the tender runs ([`BEAT`]); 0 if the tender does not keep it.
    #[inline]
    pub fn beat(&self) -> u32 {
        self.beat.load(Relaxed)
    }

    /// How many requests can be under way at once.
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Submits a request of these parts, which is not seen before it is published. Whether there was room for it.
    ///
    /// # Safety
    ///
    /// Nobody touches the memory that the parts name before the request is completed.
    pub unsafe fn submit(&mut self, parts: &[Descriptor]) -> bool {
        let room = self.under_way < self.entries && trust(self.requests.has_room(parts.len() as u32));
        if !room {
            return false;
        }
        for (index, part) in parts.iter().enumerate() {
            let flags = if index + 1 < parts.len() { Flags::MORE } else { Flags::empty() };
            let descriptor = Descriptor { flags: flags.bits(), ..*part };
            let position = self.requests.write() as usize;
            // SAFETY: the position is below the number of entries, which the contract says are there.
            let entry = unsafe { self.descriptors.add(position) };
            // SAFETY: the same; the tender reads it when it is published.
            unsafe { entry.write_volatile(descriptor) };
        }
        self.under_way += 1;
        true
    }

    /// Shows the tender what was submitted, and wakes it if it wants to be.
    pub fn publish(&mut self) {
        if self.show() {
            device::ring_doorbell();
        }
    }

    /// Shows the tender what was submitted. Whether it must be woken for that.
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
        // SAFETY: the position is below the number of entries, which the contract says are there.
        let entry = unsafe { self.answers.add(position) };
        // SAFETY: the same; the tender has written it.
        let completion = unsafe { entry.read_volatile() };
        self.completions.release();
        self.under_way = self.under_way.saturating_sub(1);
        Some(completion)
    }

    /// Whether there is a completion.
    #[inline]
    pub fn has_completion(&mut self) -> bool {
        trust(self.completions.available()) > 0
    }

    /// Asks to be woken for the next completion. Whether there is none yet, so that one may wait for
    /// [`News::DEVICES`](husk_abi::call::News::DEVICES).
    pub fn sleep(&mut self) -> bool {
        trust(self.completions.sleep())
    }
}

/// The tender runs this guest: if its indices make no sense, nothing does.
fn trust<T>(index: Result<T, OutOfStep>) -> T {
    index.expect("the tender keeps to the protocol")
}
