//! Faults: violations of the contract by a guest, which ends with one line that names the violation.

use crate::arch::exception;
use crate::devices::ring::Broken;
use crate::memory::Refused;
use crate::report::access::Access;
use husk_abi::fault;
use std::fmt;

/// Violation by the guest. See [`husk_abi::fault`] for the exit statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The processor raised an exception.
    Exception {
        /// Vector, 0 to 31.
        vector: u8,
        /// Error code; 0 for vectors that have none.
        error: u64,
        /// Faulting address of a page fault.
        address: u64,
    },
    /// The guest touched memory that the host mapping forbids, such as the guard page of a thread's stack.
    Forbidden {
        /// The address, if the host reports it.
        address: Option<u64>,
    },
    /// The guest touched more of the sparse region than it may have memory.
    OutOfMemory,
    /// The guest named memory in a call that it may not use like that.
    Memory(Refused),
    /// The guest made a call that does not exist.
    NoSuchCall(u64),
    /// The guest broke the contract of a device's rings.
    Device {
        /// Name of the device.
        device: String,
        /// Rule that was broken.
        broken: Broken,
    },
    /// The guest made a Linux system call, but has no libos to answer it.
    NoLibos {
        /// Number of the system call.
        system_call: u64,
    },
    /// The guest gave up, with this message.
    Panic(String),
    /// The guest's threads all wait for one another.
    Deadlock,
    /// A thread of the guest died of this signal.
    Signal(u8),
    /// The guest used this port with an instruction that is not the gate's.
    Port(u16),
    /// The guest brought its processor to a state that cannot continue.
    Shutdown,
    /// The guest left the VM in a way that the contract does not have.
    StrangeExit(String),
}

impl Fault {
    /// Returns the memory access that was refused, if the fault is about one and the address is known.
    pub fn access(&self) -> Option<Access> {
        match *self {
            Self::Exception { vector, error, address } => exception::describe(vector, error, address).access,
            Self::Forbidden { address } => address.map(|address| Access { address, how: None }),
            _ => None,
        }
    }

    /// Returns true if the guest ended itself, with or without a message.
    pub fn gave_up(&self) -> bool {
        const SIGABRT: u8 = fault::PANIC - 128;
        matches!(self, Self::Panic(_) | Self::Signal(SIGABRT))
    }

    /// Returns true if the guest stopped behind the faulting instruction, rather than at it: after a breakpoint.
    pub fn is_past(&self) -> bool {
        matches!(self, Self::Exception { vector: 3, .. })
    }

    /// Returns the tender's exit status for the fault.
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

/// A signal, displayed by its name.
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
