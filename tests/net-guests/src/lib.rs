//! Helpers of the hostile guests: a queue with access to every word of it.

#![no_std]

extern crate alloc;

pub mod host;

use husk::abi::device::Queue;
use husk::abi::note::device_kind;
use husk::abi::ring::{CONSUMER, Completion, Descriptor, ENTRIES, PRODUCER, WAKE_AT};
use husk::device;

/// A queue without any protocol.
#[derive(Clone, Copy, Debug)]
pub struct Raw(pub Queue);

impl Raw {
    /// Opens the queue `index` of the device `net`.
    pub fn open(index: usize) -> Self {
        Self(device::all().next().expect("a device").queues[index])
    }

    /// Writes a descriptor at a position.
    pub fn describe(&self, position: u32, descriptor: Descriptor) {
        let position = u64::from(position % self.0.entries) * size_of::<Descriptor>() as u64;
        // SAFETY: the remainder is below the number of entries, so the descriptor lies in the ring.
        unsafe { ((self.0.submission + ENTRIES + position) as *mut Descriptor).write_volatile(descriptor) };
    }

    /// Reads a completion at a position.
    pub fn completion(&self, position: u32) -> Completion {
        let position = u64::from(position % self.0.entries) * size_of::<Completion>() as u64;
        // SAFETY: the remainder is below the number of entries, so the completion lies in the ring.
        unsafe { ((self.0.completion + ENTRIES + position) as *const Completion).read_volatile() }
    }

    /// Publishes that `count` descriptors have been written, and rings.
    pub fn submitted(&self, count: u32) {
        poke(self.0.submission + PRODUCER, count);
        device::ring_doorbell();
    }

    /// Returns the number of completions that have been written.
    pub fn completed(&self) -> u32 {
        peek(self.0.completion + PRODUCER)
    }

    /// Publishes that `count` completions have been read.
    pub fn consumed(&self, count: u32) {
        poke(self.0.completion + CONSUMER, count);
    }

    /// Returns the addresses of the queue's words.
    pub fn words(&self) -> [u64; 6] {
        let [submission, completion] = [self.0.submission, self.0.completion];
        [
            submission,
            submission + CONSUMER,
            submission + WAKE_AT,
            completion,
            completion + CONSUMER,
            completion + WAKE_AT,
        ]
    }
}

/// Writes a word of a ring.
pub fn poke(address: u64, value: u32) {
    // SAFETY: the callers pass addresses of ring words.
    unsafe { (address as *mut u32).write_volatile(value) };
}

/// Reads a word of a ring.
pub fn peek(address: u64) -> u32 {
    // SAFETY: the callers pass addresses of ring words.
    unsafe { (address as *const u32).read_volatile() }
}

/// Ends the guest unless the device is a network.
pub fn expect_network() {
    assert!(device::all().next().is_some_and(|device| device.kind == device_kind::NETWORK));
}

/// Waits for a while to be stopped after an attack, and then prints that the guest was not stopped.
pub fn wait_to_be_stopped() {
    husk::clock::sleep(core::time::Duration::from_secs(5));
    husk::println!("survived");
}
