//! What a network device asks of the wire behind it.

use crate::confine::Descriptors;
use crate::devices::copy::Unreachable;
use crate::devices::ring::Parts;
use husk_abi::device::{Offers, Offload};
use std::fmt;
use std::os::fd::RawFd;

/// Where a network device's frames go to and come from.
pub trait Wire: fmt::Debug + Send {
    /// What it does beyond sending and receiving frames as they are.
    fn offers(&self) -> Offers {
        Offers::empty()
    }

    /// Whether it takes a frame now.
    fn has_room(&self) -> bool {
        true
    }

    /// Sends a frame, or drops it, as a wire may. It lacks what the wire offers to do at most.
    fn send(&mut self, frame: &Parts, lacks: Offload) -> Result<(), Unreachable>;

    /// Receives a frame, or drops one if it does not fit; nothing if there is none. It may be unfinished only if that is
    /// said and offered.
    fn receive(&mut self, into: &Parts, may_be_unfinished: bool) -> Result<Option<Received>, Unreachable>;

    /// Does what else there is to do. Whether something was done.
    fn work(&mut self) -> bool {
        false
    }

    /// The file that is ready when there may be a frame, or other work.
    fn file(&self) -> RawFd;

    /// Notes which files it has open.
    fn list(&self, descriptors: &mut Descriptors);

    /// For which events it is to be watched, given whether the guest has a buffer for a frame.
    fn events(&self, has_buffer: bool) -> i16 {
        if has_buffer { libc::POLLIN } else { 0 }
    }

    /// Monotonic time at which there is work in any case, in nanoseconds.
    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }
}

/// What became of a frame that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is there.
    Frame {
        /// Its length in bytes.
        length: usize,
        /// Whether its checksum need not be looked at.
        checked: bool,
    },
    /// It is lost.
    Dropped,
}
