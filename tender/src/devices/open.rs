//! Devices between the user's description and their place in a guest.

use super::attach::What;
use super::{Device, Served, block, folder, net};
use crate::image::Kind;
use crate::memory::Memory;
use std::fmt;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// A device that is open, and has no place in a guest yet.
#[derive(Debug)]
pub struct Open {
    /// Name of the device in the image.
    pub name: String,
    /// Opened device itself.
    pub what: Opened,
}

/// Kinds of device, once open.
#[derive(Debug)]
pub enum Opened {
    /// A network card.
    Network(net::Card),
    /// A disk.
    Block(block::Drive),
    /// A folder.
    Folder(folder::Tree),
}

impl Open {
    /// Opens what the user describes, for the device `name`.
    pub fn new(name: String, what: &What) -> Result<Self, NotOpened> {
        let opened = match what {
            What::Network(options) => net::Card::open(options).map(Opened::Network),
            What::Block(options) => block::Drive::open(options).map(Opened::Block),
            What::Folder(options) => folder::Tree::open(options).map(Opened::Folder),
        };
        match opened {
            Ok(what) => Ok(Self { name, what }),
            Err(reason) => Err(NotOpened { name, reason }),
        }
    }

    /// Kind of the device.
    pub fn kind(&self) -> Kind {
        match self.what {
            Opened::Network(_) => Kind::Network,
            Opened::Block(_) => Kind::Block,
            Opened::Folder(_) => Kind::Folder,
        }
    }

    /// Features beyond those that every device of this kind has: [`husk_abi::device::Device::offers`].
    pub fn offers(&self) -> u32 {
        match &self.what {
            Opened::Network(card) => card.offers().bits(),
            Opened::Block(_) | Opened::Folder(_) => 0,
        }
    }

    /// Properties of the device that the guest reads.
    pub fn properties(&self) -> &[u8] {
        match &self.what {
            Opened::Network(card) => card.properties.as_bytes(),
            Opened::Block(drive) => drive.properties(),
            Opened::Folder(tree) => tree.properties(),
        }
    }

    /// Returns the folder, if the device is one.
    pub fn folder(&self) -> Option<&folder::Tree> {
        match &self.what {
            Opened::Folder(tree) => Some(tree),
            Opened::Network(_) | Opened::Block(_) => None,
        }
    }

    /// Connects the device with its queues in guest memory.
    pub fn connect(self, memory: &Arc<Memory>, queues: [husk_abi::device::Queue; 2]) -> Served {
        let device: Box<dyn Device> = match self.what {
            Opened::Network(card) => Box::new(net::Served::new(card, memory, queues)),
            Opened::Block(drive) => Box::new(block::Served::new(drive, memory, queues[0])),
            Opened::Folder(tree) => Box::new(folder::Served::new(tree, memory, queues[0])),
        };
        Served { name: self.name, device }
    }
}

/// Reason why a device could not be opened.
#[derive(Debug)]
pub struct NotOpened {
    /// Name of the device in the image.
    name: String,
    reason: String,
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            // A folder has no name of its own.
            true => write!(f, "--files: {}", self.reason),
            false => write!(f, "device '{}': {}", self.name, self.reason),
        }
    }
}
