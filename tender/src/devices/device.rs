//! What the service asks of a device, whatever its kind.

use super::ring::Broken;
use crate::confine::Descriptors;
use std::fmt;
use std::ops::BitOrAssign;
use std::os::fd::RawFd;

/// A device in the hands of the service.
#[derive(Debug)]
pub struct Served {
    /// Its name in the image.
    pub name: String,
    /// What serves it.
    pub device: Box<dyn Device>,
}

/// What came of serving a device for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Something was done, so there may be more.
    pub done: bool,
    /// The guest wants to be woken.
    pub wake: bool,
    /// It did as much as it may at a time.
    pub full: bool,
    /// There is something that only [`Device::serve`] does, as it may have to wait.
    pub left: bool,
}

impl BitOrAssign for Progress {
    fn bitor_assign(&mut self, other: Self) {
        self.done |= other.done;
        self.wake |= other.wake;
        self.full |= other.full;
        self.left |= other.left;
    }
}

/// A device behind rings, as the service sees it.
pub trait Device: fmt::Debug + Send {
    /// Does what there is to do, but not for long.
    fn serve(&mut self) -> Result<Progress, Broken>;

    /// The same, but for what may have to wait for the host: the guest's own thread calls this.
    fn serve_at_once(&mut self) -> Result<Progress, Broken> {
        self.serve()
    }

    /// Asks the guest to ring for its next request. Whether there is nothing to do before that, or one of its files
    /// is ready, or its time has come.
    fn sleep(&mut self) -> Result<bool, Broken>;

    /// Shows the guest that its requests are looked for while it runs.
    fn beat(&mut self);

    /// The file to be watched meanwhile, and for which events; none is negative.
    fn file(&self) -> (RawFd, i16);

    /// Monotonic time at which it wants to be served in any case, in nanoseconds; `u64::MAX` for never.
    fn deadline_ns(&self) -> u64;

    /// Notes which files it has open.
    fn list(&self, descriptors: &mut Descriptors);
}
