//! The devices that the manifest of an image names.

use husk_abi::note::{self, device_kind};

/// What kind of device something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network card.
    Network,
    /// A disk.
    Block,
}

impl Kind {
    /// The kind with this number in a manifest.
    pub const fn from_raw(kind: u32) -> Option<Self> {
        match kind {
            device_kind::NETWORK => Some(Self::Network),
            device_kind::BLOCK => Some(Self::Block),
            _ => None,
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Block => "block",
        }
    }
}

/// A device that an image wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Wanted {
    /// A device of a manifest; nothing if that is not well-formed.
    pub fn from_raw(device: &note::Device) -> Option<Self> {
        Some(Self { kind: Kind::from_raw(device.kind)?, name: device.name()?.to_owned() })
    }
}
