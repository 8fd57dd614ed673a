//! Errors for the person at the terminal: what, about which thing, what to do.

use crate::confine::Lacks;
use crate::devices::attach::Mismatch;
use crate::hvt::open::NotOpened;
use crate::image::Refusal;
use husk_abi::memory::Region;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a guest could not be started or carried on, through no fault of its own.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum Error {
    Image { path: PathBuf, refusal: Refusal },
    MemoryTooSmall { path: PathBuf, memory: u64, needed: u64 },
    MemoryOverMaximum { path: PathBuf, asked: u64, maximum: u64 },
    MemoryTooLarge { maximum: u64 },
    ImageTooLarge { path: PathBuf, maximum: u64 },
    ArgumentsTooLong { size: u64, maximum: u64 },
    NoMemory(io::Error),
    NotMapped { path: PathBuf, error: io::Error },
    AddressesTaken { path: PathBuf, all: Region },
    KvmNotOpened(NotOpened),
    StrictWithoutKvm(NotOpened),
    TooWeak(Lacks),
    NoBaseInstructions,
    NoSignals(io::Error),
    NoStreams(io::Error),
    KvmTooOld(&'static str),
    Kvm { step: &'static str, error: io::Error },
    NoEntropy(io::Error),
    Mismatch(Mismatch),
    Device { name: String, reason: String },
    NoThread(io::Error),
    NotConfined(io::Error),
    NotThatUser(io::Error),
    NoTimer(io::Error),
    NoWatchdog(io::Error),
    NoSupervisor(io::Error),
    StatusFile { path: PathBuf, reason: String },
    NoOtherProcessor,
    Output(io::Error),
}

impl Error {
    /// A failed step of setting up or running the VM.
    pub fn kvm(step: &'static str) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |error| Self::Kvm { step, error: io::Error::from_raw_os_error(error.errno()) }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { path, refusal } => write!(f, "{}: {refusal}", path.display()),
            Self::MemoryTooSmall { path, memory, needed } => write!(
                f,
                "{}: needs {} of memory but has {}; give it --memory {}",
                path.display(),
                Size(*needed),
                Size(*memory),
                Size(*needed),
            ),
            Self::MemoryOverMaximum { path, asked, maximum } => write!(
                f,
                "{}: asks for {} of memory, where an image gets at most {} by itself; allow it with --memory-max {}, or set --memory",
                path.display(),
                Size(*asked),
                Size(*maximum),
                Size(*asked),
            ),
            Self::MemoryTooLarge { maximum } => {
                write!(f, "a guest can have at most {} of memory; give a smaller --memory", Size(*maximum))
            }
            Self::ImageTooLarge { path, maximum } => write!(
                f,
                "{}: is larger than the {} that an image may have; strip its debug information",
                path.display(),
                Size(*maximum)
            ),
            Self::ArgumentsTooLong { size, maximum } => write!(
                f,
                "arguments and environment take {size} bytes, where a guest can be given {maximum}; pass large values in a file"
            ),
            Self::NoMemory(error) => write!(
                f,
                "cannot reserve the guest's memory: {error}; give a smaller --memory, or more addresses (`ulimit -v`)"
            ),
            Self::NotMapped { path, error } => {
                write!(f, "{}: cannot be mapped: {error}; copy it to a file system that supports mmap", path.display())
            }
            Self::AddressesTaken { path, all } => write!(
                f,
                "{}: without KVM it would be at {:#x} to {:#x}, which are taken in this process; build it as a position-independent executable, or run it with KVM",
                path.display(),
                all.start,
                all.end()
            ),
            Self::KvmNotOpened(why) => write!(f, "{why}"),
            Self::StrictWithoutKvm(why) => write!(
                f,
                "{why}; --strict takes the weaker sandbox of a process only where it is chosen, by --target spt"
            ),
            Self::TooWeak(lacks) => write!(f, "{lacks}; --strict refuses to run a guest like that"),
            Self::NoBaseInstructions => write!(
                f,
                "programs with std, and all guests without KVM, need a processor and a kernel with FSGSBASE; use Linux 5.9 or \
                newer, on a processor of 2013 or newer"
            ),
            Self::NoSignals(error) => write!(f, "the host does not let this process handle signals: {error}"),
            Self::NoStreams(error) => write!(
                f,
                "a standard stream is closed, and /dev/null cannot be opened for it: {error}; start husk with standard input, output and error"
            ),
            Self::KvmTooOld(missing) => write!(f, "this kernel's KVM lacks {missing}; use Linux 5.10 or newer"),
            Self::Kvm { step, error } => write!(f, "KVM failed to {step}: {error}"),
            Self::NoEntropy(error) => write!(f, "the host gives no random bytes: {error}"),
            Self::Mismatch(mismatch) => write!(f, "{mismatch}"),
            Self::Device { name, reason } => write!(f, "device '{name}': {reason}"),
            Self::NoThread(error) => write!(f, "the host has no thread or descriptor left for devices: {error}"),
            Self::NotConfined(error) => {
                write!(
                    f,
                    "husk cannot confine itself, and does not run without: {error}; it takes a kernel with seccomp"
                )
            }
            Self::NotThatUser(error) => write!(f, "cannot go on as that user: {error}; --user takes root"),
            Self::NoOtherProcessor => {
                write!(f, "--cpu baseline takes a virtual machine; in a process, the guest finds the host's processor")
            }
            Self::NoTimer(error) => write!(f, "the host has no timer left for --cpu-limit or --timeout: {error}"),
            Self::NoWatchdog(error) => write!(
                f,
                "the host has no process left to watch --cpu-limit without KVM: {error}; raise the limit of processes (`ulimit -u`)"
            ),
            Self::NoSupervisor(error) => write!(
                f,
                "the host has no process left to write --status-file: {error}; raise the limit of processes (`ulimit -u`)"
            ),
            Self::StatusFile { path, reason } => write!(f, "--status-file {}: {reason}", path.display()),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

/// A number of bytes for people: `64M`, as --memory takes it.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, letter) in [(1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{letter}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_given() {
        assert_eq!(Size(64 << 20).to_string(), "64M");
        assert_eq!(Size(3 << 30).to_string(), "3G");
        assert_eq!(Size(4097).to_string(), "4097");
    }
}
