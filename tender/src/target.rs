//! Targets: the sandboxes that a guest may run in. What differs between them is how the guest's processor is started and
//! stopped, and how its memory is mapped; everything else is the same for all ([`crate::machine`]).

mod error;

pub use error::Error;

use crate::clock::Offset;
use crate::confine::{Crew, Descriptors, Lack};
use crate::devices::bells::Bells;
use crate::memory::{Claim, Memory};
use crate::registers::Registers;
use husk_abi::call::Status;
use libc::sock_filter;
use std::fmt;
use std::ptr::NonNull;

/// Which target a guest is to have.
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
    /// Protection that this target would have on another host.
    fn lack(&self) -> Option<Lack> {
        None
    }

    /// Takes what it needs of the thread that is to run the guest: all there is to open is open, and the thread is about to
    /// be confined; a thread that it needs besides joins `crew`. Tells which instructions of seccomp(2) are to decide first.
    fn prepare(&mut self, _: &mut Crew) -> Result<Vec<sock_filter>, Error> {
        Ok(vec![])
    }

    /// Runs the guest until it stops.
    fn run(&mut self) -> Result<Stop, Error>;

    /// How far the guest's time stamp counter is ahead of the host's, if they can differ.
    fn counter(&self) -> Option<Offset> {
        None
    }

    /// Lets the guest go on with this in its result register, when it is run again.
    fn resume_with(&mut self, result: u64);

    /// The guest's registers. After an exception, what they were then.
    fn registers(&self) -> Result<Registers, Error>;

    /// Lets the guest go on elsewhere, when it is run again.
    fn jump(&mut self, rip: u64) -> Result<(), Error>;

    /// A byte that keeps the guest from running, or stops it soon, as long as it is not 0. It lasts as long as `self`.
    fn halt(&mut self) -> NonNull<u8>;

    /// Notes which files it has open.
    fn list(&self, descriptors: &mut Descriptors);

    /// Has the guest's doorbell ring there without a stop, if that can be.
    fn connect(&mut self, bells: &Bells);

    /// Makes at least the first `length` bytes of the heap usable, and tells how many are.
    fn attach(&mut self, memory: &Memory, length: u64) -> Result<u64, Status>;

    /// Takes pages of the sparse region from the guest, or of its heap as far as a touch maps them again; the host drops their
    /// contents right after.
    fn release(&mut self, memory: &Memory, claim: Claim);

    /// How many more bytes of memory the guest can get in the sparse region.
    fn room(&self, memory: &Memory) -> u64;

    /// Makes the image file readable.
    fn attach_image(&mut self, memory: &Memory) -> Result<u64, Status>;
}

/// Why the processor stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest went through the gate.
    Call {
        /// Number of the call.
        number: u64,
        /// Its arguments.
        arguments: [u64; 4],
    },
    /// The guest rang the doorbell.
    Doorbell,
    /// It raised an exception.
    Exception {
        /// Vector, 0 to 31.
        vector: u8,
        /// Error code; 0 for vectors that have none.
        error: u64,
    },
    /// It touched a page of the sparse region first, and has it now.
    Touched,
    /// It touched one that it cannot have.
    OutOfMemory,
    /// A signal arrived for the tender.
    Interrupted,
    /// The guest touched memory that the host mapping forbids.
    Forbidden {
        /// Where, if that is known.
        address: Option<u64>,
    },
    /// The guest used a port that it has, but not as the gate does.
    Port(u16),
    /// The processor cannot go on.
    Shutdown,
    /// Anything else.
    Strange(String),
}
