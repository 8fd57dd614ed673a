//! Targets: the sandboxes that a guest may run in. They differ in how a processor of the guest is started and stopped ([`Vcpu`])
//! and how its memory is mapped ([`Vm`]); everything else is the same for all ([`crate::vm::machine`]).

mod error;

pub use error::Error;

use crate::arch::registers::Registers;
use crate::confine::{Crew, Descriptors, Lack};
use crate::devices::notifier::Notifier;
use crate::memory::{Claim, Memory, Touch};
use crate::vm::clock::{Counter, Moment, Offset};
use husk_abi::call::Status;
use libc::sock_filter;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

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

/// A virtual machine: the memory of a guest as its processors see it.
pub trait Vm: fmt::Debug {
    /// Memory of the guest.
    fn memory(&self) -> &Arc<Memory>;

    /// Makes a processor, which will enter the image at its entry point.
    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, Error>;

    /// Protection that this target lacks on this host.
    fn lack(&self) -> Option<Lack> {
        None
    }

    /// Notes which files the target has open.
    fn list(&self, _: &mut Descriptors) {}

    /// Has the guest's doorbell ring `notifier` without a stop of the guest, if the target can.
    fn connect(&mut self, notifier: &Notifier);

    /// Prepares the process, which is about to be confined: all files are open, and the processors are prepared. Returns
    /// instructions of seccomp(2) that decide before all others.
    fn prepare(&mut self) -> Result<Vec<sock_filter>, Error> {
        Ok(vec![])
    }

    /// Handles a page fault at `address` with this error code of the processor.
    fn touch(&mut self, address: u64, error: u64) -> Touch;

    /// Makes at least the first `length` bytes of the heap usable, and returns how many are usable.
    fn grow_heap(&mut self, length: u64) -> Result<u64, Status>;

    /// Takes pages of the sparse region from the guest, or of its heap if a touch maps them again;
    /// the host discards their contents right after.
    fn release(&mut self, claim: Claim);

    /// Returns how many more bytes of memory the guest can get in the sparse region.
    fn available_memory(&self) -> u64;

    /// Makes the image file readable.
    fn attach_image(&mut self) -> Result<u64, Status>;
}

/// A virtual processor. The thread that calls [`Vcpu::prepare`] is the one that runs it.
pub trait Vcpu: fmt::Debug {
    /// Notes which files the processor has open.
    fn list(&self, _: &mut Descriptors) {}

    /// Starts the guest's time stamp counter; `began` is the start of the tender.
    fn start_counter(&mut self, began: Moment) -> Counter;

    /// Returns how far the guest's time stamp counter is ahead of the host's, if they can differ.
    fn counter(&self) -> Option<Offset> {
        None
    }

    /// Prepares this thread, which is about to be confined; another thread that the target needs joins `crew`.
    fn prepare(&mut self, _: &mut Crew) -> Result<(), Error> {
        Ok(())
    }

    /// Runs the guest until it stops.
    fn run(&mut self) -> Result<VmExit, Error>;

    /// Sets the result register with which the guest continues, when it is run again.
    fn resume_with(&mut self, result: u64);

    /// Has the guest repeat the access that stopped it with a page fault, when it is run again.
    fn retry(&mut self) -> Result<(), Error>;

    /// Has the guest continue at `pc`, when it is run again.
    fn jump(&mut self, pc: u64) -> Result<(), Error>;

    /// Returns the guest's registers. After an exception, their values at the exception.
    fn registers(&self) -> Result<Registers, Error>;

    /// Byte that keeps the guest from running, or stops it soon, as long as it is not 0. The byte lives as long as `self`.
    fn halt(&mut self) -> NonNull<u8>;
}

/// Reason why a processor left the guest: a VM exit, or its equivalent of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmExit {
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
    /// The guest raised a page fault.
    PageFault {
        /// Address of the access.
        address: u64,
        /// Error code.
        error: u64,
    },
    /// A signal arrived for the tender.
    Interrupted,
    /// The guest touched memory that the host mapping forbids.
    Forbidden,
    /// The guest used a port that it has, but not as the gate does.
    Port(u16),
    /// The processor cannot continue.
    Shutdown,
    /// Any other exit.
    Strange(String),
}
