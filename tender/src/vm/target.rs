//! Targets: the sandboxes that a guest may run in. They differ in how the guest's processor is started and stopped, and how its
//! memory is mapped; everything else is the same for all ([`crate::vm::machine`]).

mod error;

pub use error::Error;

use crate::arch::registers::Registers;
use crate::confine::{Crew, Descriptors, Lack};
use crate::devices::notifier::Notifier;
use crate::memory::{Claim, Memory};
use crate::vm::clock::Offset;
use husk_abi::call::Status;
use libc::sock_filter;
use std::fmt;
use std::ptr::NonNull;

/// Choice of a guest's target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A virtual machine if KVM can be used, else a process.
    #[default]
    Automatic,
    /// A virtual machine.
    Hvt,
    /// A process.
    Spt,
}

impl Choice {
    /// Reads `hvt` or `spt`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "hvt" => Ok(Self::Hvt),
            "spt" => Ok(Self::Spt),
            _ => Err(format!("'{text}' is no target; it is hvt (a virtual machine) or spt (a process)")),
        }
    }
}

/// The processor that a guest runs on.
pub trait Target: fmt::Debug {
    /// Protection that this target lacks on this host.
    fn lack(&self) -> Option<Lack> {
        None
    }

    /// Prepares this thread to run the guest: all files are open, and the thread is about to be confined; another thread that
    /// the target needs joins `crew`. Returns instructions of seccomp(2) that decide before all others.
    fn prepare(&mut self, _: &mut Crew) -> Result<Vec<sock_filter>, Error> {
        Ok(vec![])
    }

    /// Runs the guest until it stops.
    fn run(&mut self) -> Result<Stop, Error>;

    /// Returns how far the guest's time stamp counter is ahead of the host's, if they can differ.
    fn counter(&self) -> Option<Offset> {
        None
    }

    /// Sets the result register with which the guest continues, when it is run again.
    fn resume_with(&mut self, result: u64);

    /// Returns the guest's registers. After an exception, their values at the exception.
    fn registers(&self) -> Result<Registers, Error>;

    /// Has the guest continue at `rip`, when it is run again.
    fn jump(&mut self, rip: u64) -> Result<(), Error>;

    /// Byte that keeps the guest from running, or stops it soon, as long as it is not 0. The byte lives as long as `self`.
    fn halt(&mut self) -> NonNull<u8>;

    /// Notes which files the target has open.
    fn list(&self, descriptors: &mut Descriptors);

    /// Has the guest's doorbell ring `notifier` without a stop of the guest, if the target can.
    fn connect(&mut self, notifier: &Notifier);

    /// Makes at least the first `length` bytes of the heap usable, and returns how many are usable.
    fn attach(&mut self, memory: &Memory, length: u64) -> Result<u64, Status>;

    /// Takes pages of the sparse region from the guest, or of its heap if a touch maps them again;
    /// the host discards their contents right after.
    fn release(&mut self, memory: &Memory, claim: Claim);

    /// Returns how many more bytes of memory the guest can get in the sparse region.
    fn room(&self, memory: &Memory) -> u64;

    /// Makes the image file readable.
    fn attach_image(&mut self, memory: &Memory) -> Result<u64, Status>;
}

/// Reason why the processor stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest went through the gate.
    Call {
        /// Number of the call.
        number: u64,
        /// Arguments of the call.
        arguments: [u64; 4],
    },
    /// The guest rang the doorbell.
    Doorbell,
    /// The guest raised an exception.
    Exception {
        /// Vector, 0 to 31.
        vector: u8,
        /// Error code; 0 for vectors that have none.
        error: u64,
    },
    /// The guest touched a page of the sparse region for the first time, and has it now.
    Touched,
    /// The guest touched a page that it cannot have.
    OutOfMemory,
    /// A signal arrived for the tender.
    Interrupted,
    /// The guest touched memory that the host mapping forbids.
    Forbidden {
        /// Address of the access, if known.
        address: Option<u64>,
    },
    /// The guest used a port that it has, but not as the gate does.
    Port(u16),
    /// The processor cannot continue.
    Shutdown,
    /// Any other stop.
    Strange(String),
}
