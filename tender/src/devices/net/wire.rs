//! Interface between a network device and the wire behind it.

use crate::confine::Descriptors;
use crate::devices::copy::Unreachable;
use crate::devices::device::NotSaved;
use crate::devices::ring::Parts;
use husk_abi::device::{Offers, Offload};
use std::fmt;
use std::os::fd::RawFd;

/// Source and sink of a network device's frames.
pub trait Wire: fmt::Debug + Send {
    /// Features beyond sending and receiving frames unchanged.
    fn offers(&self) -> Offers {
        Offers::empty()
    }

    /// Returns true if the wire takes a frame now.
    fn has_room(&self) -> bool {
        true
    }

    /// Sends a frame, or drops it, as a wire may. `offload` names only what the wire offers.
    fn send(&mut self, frame: &Parts, offload: Offload) -> Result<(), Unreachable>;

    /// Receives a frame, or drops one that does not fit; `None` if there is none. The frame may need offload only if the
    /// buffer accepts that (`guest_offloads`) and the wire offers it.
    fn receive(&mut self, into: &Parts, guest_offloads: bool) -> Result<Option<Received>, Unreachable>;

    /// Does other pending work. Returns true if there was some.
    fn work(&mut self) -> bool {
        false
    }

    /// Descriptor that is ready when there may be a frame, or other work.
    fn file(&self) -> RawFd;

    /// Adds the open files of the wire to `descriptors`.
    fn list(&self, descriptors: &mut Descriptors);

    /// Events of poll(2) to wait for, depending on a free receive buffer (`has_buffer`).
    fn events(&self, has_buffer: bool) -> i16 {
        if has_buffer { libc::POLLIN } else { 0 }
    }

    /// Reason why the wire has a state that cannot be saved, if it has one. Frames on their way are none: a wire loses frames.
    fn not_saved(&self) -> Option<NotSaved> {
        None
    }

    /// Monotonic time at which there is work in any case, in nanoseconds.
    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }
}

/// Outcome of a frame that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The frame is in the buffer.
    Frame {
        /// Length in bytes.
        length: usize,
        /// True if the guest need not verify the checksum.
        checked: bool,
    },
    /// The frame is lost.
    Dropped,
}
