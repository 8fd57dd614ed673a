//! Frames whose answers wait for the hardware address of the sender: a RST for a port without a listener, an echo reply, "port
//! unreachable". smoltcp keeps no such answer, so the frame is kept, and processed again once a neighbour has answered.
//!
//! A peer that knows this machine's address sends without a request of its own: after a restart of the guest, or after a minute
//! of silence. Without this its first segment or echo request would go unanswered, and it would repeat it after a second.

use super::stack::Stack;
use super::wire::{Exchange, Sender};
use alloc::vec::Vec;

/// Most frames that are kept.
const MAXIMUM: usize = 16;
/// Time after which a sender has repeated its frame, in nanoseconds.
const STALE: u64 = 1_000_000_000;

/// The frames, each with its time of arrival in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(u64, Vec<u8>)>);

impl Held {
    /// Keeps a frame, if there is room and memory.
    pub(super) fn keep(&mut self, frame: &[u8], now: u64) {
        self.0.retain(|(at, _)| now - at < STALE);
        let mut copy = Vec::new();
        if self.0.len() < MAXIMUM && self.0.try_reserve(1).is_ok() && copy.try_reserve_exact(frame.len()).is_ok() {
            copy.extend_from_slice(frame);
            self.0.push((now, copy));
        }
    }
}

impl Stack {
    /// Answers the frames whose senders have become known.
    pub(super) fn answer_held(&mut self, sender: &mut dyn Sender, now: u64) {
        let mut held = core::mem::take(&mut self.held.0);
        held.retain(|(at, frame)| {
            let mut exchange = Exchange::new(Some(frame), &mut *sender, self.limits);
            self.process(&mut exchange, None, now);
            exchange.sent.others == 0 && now - at < STALE
        });
        self.held.0 = held;
    }
}
