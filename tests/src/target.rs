//! Targets: the same tests hold for every target, except for addresses.

use husk_abi::memory::{TENDER_SIZE, WINDOW_LOWEST};
use std::env;
use std::fs::OpenOptions;
use std::sync::OnceLock;

/// A target of `husk run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A virtual machine.
    Hvt,
    /// A process.
    Spt,
}

impl Target {
    /// Returns the target that `husk run` chooses here by default.
    pub fn usual() -> Self {
        static USUAL: OnceLock<Target> = OnceLock::new();
        *USUAL.get_or_init(|| match env::var("HUSK_TARGET").as_deref() {
            Ok("spt") => Self::Spt,
            Ok("hvt") => Self::Hvt,
            _ if has_kvm() => Self::Hvt,
            _ => Self::Spt,
        })
    }

    /// Returns the targets that are usable here.
    pub fn all() -> Vec<Self> {
        if has_kvm() { vec![Self::Hvt, Self::Spt] } else { vec![Self::Spt] }
    }

    /// Returns the name of the target in `husk run`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hvt => "hvt",
            Self::Spt => "spt",
        }
    }

    /// Returns the flag of `husk run` that selects the target.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Hvt => "--target=hvt",
            Self::Spt => "--target=spt",
        }
    }

    /// Returns the address of a page of the tender's own in a guest that runs with `--no-aslr`.
    pub fn own(self, physical: u64) -> u64 {
        match self {
            Self::Hvt => physical,
            Self::Spt => WINDOW_LOWEST - TENDER_SIZE + physical,
        }
    }
}

fn has_kvm() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
