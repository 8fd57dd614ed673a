//! What the tender serves, whatever the target: the console by calls, everything else over rings ([`husk_abi::ring`]).
//!
//! A device is *attached* by the user ([`attach`] matches that with what the image wants), opened, given its place in the
//! guest's memory and in the [`table`] that the guest reads, and served by the [`service`].

pub mod attach;
pub mod bells;
pub mod block;
pub mod console;
mod copy;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gain;
pub mod limit;
pub mod net;
mod relay;
pub mod ring;
pub mod service;
mod serving;
pub mod table;

/// What [`relay`] is made of.
mod sync {
    pub use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
    pub use std::sync::{Mutex, MutexGuard};
}

use crate::confine::Descriptors;
use crate::error::Error;
use crate::memory::Memory;
use attach::{Kind, What};
use ring::Broken;
use std::ops::BitOrAssign;
use std::os::fd::RawFd;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// A device that is open, and has no place in a guest yet.
#[derive(Debug)]
pub struct Open {
    /// Its name in the image.
    pub name: String,
    /// What it is.
    pub what: Opened,
}

/// What a device is, once it is open.
#[derive(Debug)]
pub enum Opened {
    /// A network card.
    Network(net::Card),
    /// A disk.
    Block(block::Drive),
}

impl Open {
    /// Opens what the user describes, for the device `name`.
    pub fn new(name: String, what: &What) -> Result<Self, Error> {
        let what = match what {
            What::Network(options) => Opened::Network(net::Card::open(&name, options)?),
            What::Block(options) => Opened::Block(block::Drive::open(&name, options)?),
        };
        Ok(Self { name, what })
    }

    /// What kind of device it is.
    pub fn kind(&self) -> Kind {
        match self.what {
            Opened::Network(_) => Kind::Network,
            Opened::Block(_) => Kind::Block,
        }
    }

    /// What it does beyond what every device of its kind does: [`husk_abi::device::Device::offers`].
    pub fn offers(&self) -> u32 {
        match &self.what {
            Opened::Network(card) => card.offers().bits(),
            Opened::Block(_) => 0,
        }
    }

    /// What the guest is told of it.
    pub fn properties(&self) -> &[u8] {
        match &self.what {
            Opened::Network(card) => card.properties.as_bytes(),
            Opened::Block(drive) => drive.properties().as_bytes(),
        }
    }

    /// Connects it with its queues in guest memory.
    pub fn connect(self, memory: &Arc<Memory>, queues: [husk_abi::device::Queue; 2]) -> Served {
        let device: Box<dyn Device> = match self.what {
            Opened::Network(card) => Box::new(net::Served::new(card, memory, queues)),
            Opened::Block(drive) => Box::new(block::Served::new(drive, memory, queues[0])),
        };
        Served { name: self.name, device }
    }
}

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
pub trait Device: std::fmt::Debug + Send {
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
