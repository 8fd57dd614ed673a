//! Devices between the user's description and their place in a guest.

use super::attach::What;
use super::{Device, Served, block, net};
use crate::image::Kind;
use crate::memory::Memory;
use std::fmt;
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
    pub fn new(name: String, what: &What) -> Result<Self, NotOpened> {
        let opened = match what {
            What::Network(options) => net::Card::open(options).map(Opened::Network),
            What::Block(options) => block::Drive::open(options).map(Opened::Block),
        };
        match opened {
            Ok(what) => Ok(Self { name, what }),
            Err(reason) => Err(NotOpened { name, reason }),
        }
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

/// Why a device could not be opened.
#[derive(Debug)]
pub struct NotOpened {
    /// Its name in the image.
    name: String,
    reason: String,
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device '{}': {}", self.name, self.reason)
    }
}
