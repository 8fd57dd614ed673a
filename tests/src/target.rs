//! What guests run in: the same tests hold for every target, but for where things are.

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
    /// The one that `husk run` takes here if nobody tells it which.
    pub fn usual() -> Self {
        static USUAL: OnceLock<Target> = OnceLock::new();
        *USUAL.get_or_init(|| match env::var("HUSK_TARGET").as_deref() {
            Ok("spt") => Self::Spt,
            Ok("hvt") => Self::Hvt,
            _ if has_kvm() => Self::Hvt,
            _ => Self::Spt,
        })
    }

    /// Those that can be used here.
    pub fn all() -> Vec<Self> {
        if has_kvm() { vec![Self::Hvt, Self::Spt] } else { vec![Self::Spt] }
    }

    /// What `husk run` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hvt => "hvt",
            Self::Spt => "spt",
        }
    }

    /// The flag of `husk run` that asks for it.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Hvt => "--target=hvt",
            Self::Spt => "--target=spt",
        }
    }

    /// Where a guest that runs with `--no-aslr` sees a page of the tender's own.
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
