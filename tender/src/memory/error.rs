//! Why a guest's memory could not be made, and why a guest may not name some of it.

use super::claim::Claim;
use husk_abi::memory::{Region, Rights};
use std::fmt;
use std::io;

/// Why there is no memory for a guest.
#[derive(Debug)]
pub enum Error {
    /// The host has none.
    NoMemory(io::Error),
    /// The image's file could not be mapped.
    NotMapped(io::Error),
    /// The guest is to be in this process, where its addresses are taken.
    AddressesTaken(Region),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory(error) => write!(
                f,
                "cannot reserve the guest's memory: {error}; give a smaller --memory, or more addresses (`ulimit -v`)"
            ),
            Self::NotMapped(error) => {
                write!(f, "cannot be mapped: {error}; copy it to a file system that supports mmap")
            }
            Self::AddressesTaken(all) => write!(
                f,
                "without KVM it would be at {:#x} to {:#x}, which are taken in this process; build it as a position-independent executable, or run it with KVM",
                all.start,
                all.end()
            ),
        }
    }
}

/// Memory that a guest named in a call, and may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was not given it, or not for that.
    NotGiven {
        /// What it named.
        claim: Claim,
        /// What the call would have done there.
        rights: Rights,
    },
    /// It wants to protect a record that the tender uses.
    Record {
        /// What it named.
        claim: Claim,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGiven { claim, rights } => write!(
                f,
                "a call names {} bytes at {:#x}, which are {}",
                claim.length,
                claim.address,
                if rights.contains(Rights::WRITE) { "not memory that it may write" } else { "outside its memory" },
            ),
            Self::Record { claim } => write!(
                f,
                "a call protects {} bytes at {:#x}, which hold a record that the tender uses",
                claim.length, claim.address,
            ),
        }
    }
}
