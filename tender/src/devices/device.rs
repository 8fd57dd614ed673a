//! Interface between the service and a device of any kind.

use super::ring::{Broken, Cursors};
use crate::confine::Descriptors;
use std::fmt;
use std::ops::BitOrAssign;
use std::os::fd::RawFd;

/// A device in the hands of the service.
#[derive(Debug)]
pub struct Served {
    /// Name of the device in the image.
    pub name: String,
    /// Implementation that serves the device.
    pub device: Box<dyn Device>,
}

/// Outcome of one round of serving a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// At least one request or frame was served, so there may be more.
    pub done: bool,
    /// The guest must be woken.
    pub wake: bool,
    /// The device did as much as it may in one round.
    pub full: bool,
    /// Work remains that may block, for [`Device::serve`].
    pub blocks: bool,
}

impl BitOrAssign for Progress {
    fn bitor_assign(&mut self, other: Self) {
        self.done |= other.done;
        self.wake |= other.wake;
        self.full |= other.full;
        self.blocks |= other.blocks;
    }
}

/// A device behind rings, as the service sees it.
pub trait Device: fmt::Debug + Send {
    /// Body of a thread of the device's own, if it has one: the caller starts it.
    fn thread(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }

    /// Serves pending requests, up to a bound per call.
    fn serve(&mut self) -> Result<Progress, Broken>;

    /// Serves like [`Device::serve`], but leaves out work that may block on the host: the guest's own thread calls this.
    fn serve_nonblocking(&mut self) -> Result<Progress, Broken> {
        self.serve()
    }

    /// Arms the doorbell for the guest's next request. Returns true if there is no work until the doorbell rings, the device's
    /// file is ready, or its deadline passes.
    fn sleep(&mut self) -> Result<bool, Broken>;

    /// Shows the guest that its requests are polled for while the guest runs.
    fn beat(&mut self);

    /// File to poll while the device is idle, with its poll(2) events; negative if there is none.
    fn file(&self) -> (RawFd, i16);

    /// Monotonic time at which the device must be served in any case, in nanoseconds; `u64::MAX` for never.
    fn deadline_ns(&self) -> u64;

    /// Adds the open files of the device to `descriptors`.
    fn list(&self, descriptors: &mut Descriptors);

    /// Goes on with the requests in flight, without taking new ones.
    fn drain(&mut self) -> Result<Progress, Broken> {
        Ok(Progress::default())
    }

    /// Returns true if no request is in flight: nothing on the host uses guest memory until the device is served again.
    fn is_idle(&self) -> bool {
        true
    }

    /// State of the idle device; an error if it has more than can be saved.
    fn state(&self) -> Result<State, NotSaved>;

    /// Continues where a device of the same kind with the same guest memory was. The state is checked, because it may come
    /// from a file: an error means that it does not fit the rings.
    fn restore(&mut self, state: &State) -> Result<(), Broken>;
}

/// State of an idle device, as plain data. All else lies in guest memory, or follows from how the device was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Cursors of the queues, in the order of [`husk_abi::device::Device::queues`].
    pub queues: [Cursors; 2],
    /// Levels of the rate limits ([`super::limit::Bucket::level`]).
    pub levels: [i128; 2],
}

/// Reason why a device has no [`State`] from which it could continue elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSaved {
    /// Connections of a user-mode network end in sockets of this process.
    UserNetwork,
    /// Connections through passt end in sockets of passt's process.
    Passt,
    /// The guest has files of a folder open in this process.
    Folder,
}

impl fmt::Display for NotSaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, instead) = match self {
            Self::UserNetwork => {
                ("a user-mode network, whose connections are sockets of this process", "attach a TAP interface instead")
            }
            Self::Passt => (
                "a network of passt, whose connections are sockets of another process",
                "attach a TAP interface instead",
            ),
            Self::Folder => ("a folder, whose open files are those of this process", "run without --files"),
        };
        write!(f, "{what}, cannot be saved; {instead}")
    }
}
