//! Frames whose answers wait for the hardware address of the sender: a RST for a port without a listener, an echo reply, "port
//! unreachable". smoltcp keeps no such answer, so the frame is kept, and processed again once the neighbour has answered.
//!
//! A peer that knows this machine's address sends without a request of its own: after a restart of the guest, or after a minute
//! of silence. Without this its first segment or echo request would go unanswered, and it would repeat it after a second.

use super::driver::{Admission, Owner};
use super::frame::{self, Carried};
use super::stack::Stack;
use super::wire::Sender;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Most frames that are kept.
const MAXIMUM: usize = 16;
/// Time after which a sender has repeated its frame, in nanoseconds.
const STALE: u64 = 1_000_000_000;

/// The frames.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Frame>);

#[derive(Debug)]
struct Frame {
    /// Time of arrival, in nanoseconds.
    at: u64,
    /// Neighbour to which the answer is sent.
    neighbour: IpAddr,
    bytes: Vec<u8>,
}

impl Held {
    /// Keeps a frame, if there is room and memory.
    pub(super) fn keep(&mut self, frame: &[u8], neighbour: IpAddr, now: u64) {
        self.0.retain(|held| now - held.at < STALE);
        let mut bytes = Vec::new();
        if self.0.len() < MAXIMUM && self.0.try_reserve(1).is_ok() && bytes.try_reserve_exact(frame.len()).is_ok() {
            bytes.extend_from_slice(frame);
            self.0.push(Frame { at: now, neighbour, bytes });
        }
    }
}

impl Stack {
    /// Answers the frames from behind `neighbour`, which has become known, unless they are old.
    pub(super) fn answer_held(&mut self, owner: &mut impl Owner, sender: &mut dyn Sender, neighbour: IpAddr, now: u64) {
        let is_answerable = |held: &mut Frame| held.neighbour == neighbour || held.neighbour.is_unspecified();
        let answerable: Vec<Frame> = self.held.0.extract_if(.., is_answerable).collect();
        for held in answerable.into_iter().filter(|held| now - held.at < STALE) {
            match frame::look(&held.bytes) {
                // A socket has taken the connection since; the peer repeats its segment for that.
                Carried::Segment { to, from, .. }
                    if self.connections.contains_key(&(to, from))
                        || owner.admission((to, from)) != Admission::Refuse => {}
                _ => self.take(&held.bytes, sender, None, now),
            }
        }
    }
}
