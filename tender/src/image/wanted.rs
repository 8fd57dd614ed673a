//! The devices that the manifest of an image names.

use husk_abi::note::{self, device_kind};

/// Kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network card.
    Network,
    /// A disk.
    Block,
    /// A folder, which no manifest names.
    Folder,
}

impl Kind {
    /// Decodes a kind by its number in a manifest.
    pub const fn from_raw(kind: u32) -> Option<Self> {
        match kind {
            device_kind::NETWORK => Some(Self::Network),
            device_kind::BLOCK => Some(Self::Block),
            _ => None,
        }
    }

    /// Name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Block => "block",
            Self::Folder => "files",
        }
    }
}

/// A device that an image wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Kind of the device.
    pub kind: Kind,
    /// Name of the device.
    pub name: String,
}

impl Wanted {
    /// Decodes a device of a manifest; `None` if it is not well-formed.
    pub fn from_raw(device: &note::Device) -> Option<Self> {
        Some(Self { kind: Kind::from_raw(device.kind)?, name: device.name()?.to_owned() })
    }
}
