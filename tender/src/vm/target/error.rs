//! Reasons why a guest's processor could not be made, or not continue.

use crate::confine;
use crate::hvt::open::NotOpened;
use crate::memory;
use std::fmt;
use std::io;

/// A failed step of a target.
#[derive(Debug)]
pub enum Error {
    /// KVM makes no virtual machine.
    NotOpened(NotOpened),
    /// KVM lacks this feature.
    KvmTooOld(&'static str),
    /// A request to KVM failed.
    Kvm {
        /// Step that the request was for.
        step: &'static str,
        /// Error of the request.
        error: io::Error,
    },
    /// The processor, or the kernel, has no FSGSBASE.
    NoBaseInstructions,
    /// KVM shows the guest features of the processor that `--cpu baseline` leaves out.
    OwnFeatures,
    /// The vCPU thread could not be prepared for its confinement.
    Confine(confine::Error),
    /// The guest's memory could not be protected, or bounded.
    Memory(memory::Error),
}

impl From<confine::Error> for Error {
    fn from(error: confine::Error) -> Self {
        Self::Confine(error)
    }
}

impl From<memory::Error> for Error {
    fn from(error: memory::Error) -> Self {
        Self::Memory(error)
    }
}

impl Error {
    /// A failed step of setting up or running the VM.
    pub fn kvm(step: &'static str) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |error| Self::Kvm { step, error: io::Error::from_raw_os_error(error.errno()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpened(why) => write!(f, "{why}"),
            Self::KvmTooOld(missing) => write!(f, "this kernel's KVM lacks {missing}; use Linux 5.10 or newer"),
            Self::Kvm { step, error } => write!(f, "KVM failed to {step}: {error}"),
            Self::OwnFeatures => write!(
                f,
                "--cpu baseline takes a KVM that hides features; this one shows guests those of the host's processor"
            ),
            Self::NoBaseInstructions => write!(
                f,
                "programs with std, and all guests without KVM, need a processor and a kernel with FSGSBASE; use Linux 5.9 or \
                newer, on a processor of 2013 or newer"
            ),
            Self::Confine(error) => write!(f, "{error}"),
            Self::Memory(error) => write!(f, "{error}"),
        }
    }
}
