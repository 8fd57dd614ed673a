//! Reasons why a guest's memory could not be made, and why a guest may not name some memory.

use super::claim::Claim;
use husk_abi::memory::{Region, Rights};
use std::fmt;
use std::io;

/// Reason why there is no memory for a guest.
#[derive(Debug)]
pub enum Error {
    /// The host has no memory.
    NoMemory(io::Error),
    /// The image's file could not be mapped.
    NotMapped(io::Error),
    /// The guest is to run in this process, where its addresses are taken.
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

/// Refusal of memory that a guest named in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The guest does not have the memory, or not with these rights.
    NotGiven {
        /// Memory that the guest named.
        claim: Claim,
        /// Access that the call needs.
        rights: Rights,
    },
    /// The guest tried to protect a record that the tender uses.
    Record {
        /// Memory that the guest named.
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
