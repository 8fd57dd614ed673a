//! Interface between the service and a device of any kind.

use super::ring::Broken;
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
}
