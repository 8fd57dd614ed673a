//! Faults: how a guest broke the contract. It ends, with one line that says how.

use crate::devices::ring::Broken;
use crate::memory::Refused;
use crate::report::exception::{self, Access};
use husk_abi::fault;
use std::fmt;

/// What the guest did. See [`husk_abi::fault`] for the exit statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The processor raised an exception.
    Exception {
        /// Vector, 0 to 31.
        vector: u8,
        /// Error code; 0 for vectors that have none.
        error: u64,
        /// The address a page fault is about.
        address: u64,
    },
    /// It touched memory that the host mapping forbids, such as the guard page of a thread's stack.
    Forbidden {
        /// The address, if the host says which.
        address: Option<u64>,
    },
    /// It touched more of the sparse region than it may have memory.
    OutOfMemory,
    /// It named memory in a call that it may not use like that.
    Memory(Refused),
    /// It made a call that does not exist.
    NoSuchCall(u64),
    /// It broke the contract of a device's rings.
    Device {
        /// Which device.
        device: String,
        /// How.
        broken: Broken,
    },
    /// It made a Linux system call, but has no libos to answer it.
    NoLibos {
        /// Number of the system call.
        system_call: u64,
    },
    /// It gave up, with this message.
    Panic(String),
    /// All its threads wait for one another.
    Deadlock,
    /// A thread of it died of this signal.
    Signal(u8),
    /// It used this port with an instruction that is not the gate's.
    Port(u16),
    /// It brought its processor to a state that cannot go on.
    Shutdown,
    /// It left the VM in a way that the contract does not have.
    StrangeExit(String),
}

impl Fault {
    /// The address whose use was refused, if that is what happened.
    pub fn access(&self) -> Option<Access> {
        match *self {
            Self::Exception { vector, error, address } => exception::describe(vector, error, address).access,
            Self::Forbidden { address } => address.map(|address| Access { address, how: None }),
            _ => None,
        }
    }

    /// Whether the guest ended itself, for a reason that it may or may not have told.
    pub fn gave_up(&self) -> bool {
        const SIGABRT: u8 = fault::PANIC - 128;
        matches!(self, Self::Panic(_) | Self::Signal(SIGABRT))
    }

    /// Whether the guest stopped behind the instruction at fault, rather than at it: after a breakpoint.
    pub fn is_past(&self) -> bool {
        matches!(self, Self::Exception { vector: 3, .. })
    }

    /// The tender's exit status for it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Exception { vector, error, address } => exception::describe(*vector, *error, *address).status,
            Self::Forbidden { .. } | Self::Shutdown => fault::MEMORY,
            Self::Memory(_)
            | Self::NoSuchCall(_)
            | Self::Device { .. }
            | Self::NoLibos { .. }
            | Self::Port(_)
            | Self::StrangeExit(_) => fault::CALL,
            Self::Panic(_) | Self::Deadlock => fault::PANIC,
            Self::OutOfMemory => fault::OUT_OF_MEMORY,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Memory(refused)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception { vector, error, address } => {
                f.write_str(&exception::describe(*vector, *error, *address).what)
            }
            Self::Forbidden { address: Some(address) } => write!(f, "access to {address:#x}, which is protected"),
            Self::Forbidden { address: None } => write!(f, "access to a protected page"),
            Self::OutOfMemory => write!(f, "out of memory: it touched more than it may have; raise --memory"),
            Self::Memory(refused) => write!(f, "{refused}"),
            Self::NoSuchCall(number) => write!(f, "call number {number} does not exist"),
            Self::Device { device, broken } => {
                write!(f, "device '{device}', {} queue: {}", broken.queue, broken.how)
            }
            Self::NoLibos { system_call } => {
                write!(f, "Linux system call {system_call} in a program without a libos to answer it")
            }
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Deadlock => write!(f, "deadlock: every thread waits for another"),
            Self::Signal(signal) => write!(f, "it died of {}", Signal(*signal)),
            Self::Port(port) => write!(f, "port {port:#x} was used with an instruction that is not the gate's"),
            Self::Shutdown => write!(f, "triple fault"),
            Self::StrangeExit(how) => write!(f, "the VM stopped in an unexpected way: {how}"),
        }
    }
}

/// A signal by its name.
struct Signal(u8);

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            3 => "SIGQUIT (quit)",
            4 => "SIGILL (invalid instruction)",
            5 => "SIGTRAP (trap)",
            6 => "SIGABRT (abort)",
            7 => "SIGBUS (bus error)",
            8 => "SIGFPE (arithmetic)",
            11 => "SIGSEGV (memory access)",
            24 => "SIGXCPU (processor time)",
            25 => "SIGXFSZ (file size)",
            31 => "SIGSYS (bad system call)",
            number => return write!(f, "signal {number}"),
        };
        f.write_str(name)
    }
}
