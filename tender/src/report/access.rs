//! An access to memory, as a report describes it.

use std::fmt;

/// Kind of memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Load from the address.
    Read,
    /// Store to the address.
    Write,
    /// Fetch of an instruction from the address.
    Execute,
}

/// Address that the guest used, and the kind of access, if known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The guest-virtual address.
    pub address: u64,
    /// Kind of access.
    pub how: Option<Use>,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read of",
            Self::Write => "write to",
            Self::Execute => "execution at",
        })
    }
}
