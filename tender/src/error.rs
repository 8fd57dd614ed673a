//! Errors for the person at the terminal: what, about which thing, what to do.
//!
//! Modules return small errors of their own, which do not depend on each other. They are composed here, for the commands
//! of `husk` alone ([`crate::run`], [`crate::inspect`], [`crate::explain`], [`crate::check`], [`crate::supervise`]).

use crate::confine::{self, Lacks};
use crate::devices::{self, attach};
use crate::host::entropy::NoEntropy;
use crate::hvt::open::NotOpened;
use crate::image::Refusal;
use crate::memory;
use crate::memory::grant::OverMaximum;
use crate::memory::layout::Unfit;
use crate::vm::boot::TooLong;
use crate::vm::target;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Reasons why a command of `husk` failed, through no fault of a guest's.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum Error {
    Image { path: PathBuf, refusal: Refusal },
    OverMaximum { path: PathBuf, over: OverMaximum },
    Unfit { path: PathBuf, unfit: Unfit },
    Memory { path: PathBuf, error: memory::Error },
    TooLong(TooLong),
    Mismatch(attach::Mismatch),
    Device(devices::NotOpened),
    KvmNotOpened(NotOpened),
    StrictWithoutKvm(NotOpened),
    Target(target::Error),
    NoOtherProcessor,
    TooWeak(Lacks),
    Confine(confine::Error),
    NoEntropy(NoEntropy),
    NoTimer(io::Error),
    NoWatchdog(io::Error),
    NoSupervisor(io::Error),
    StatusFile { path: PathBuf, reason: String },
    NoStreams(io::Error),
    Output(io::Error),
}

impl Error {
    /// Makes the error about the image at `path`.
    pub fn image(path: &Path) -> impl Fn(Refusal) -> Self {
        move |refusal| Self::Image { path: path.to_owned(), refusal }
    }

    /// Makes the error about an image at `path` that asks for more memory than it may get.
    pub fn over_maximum(path: &Path) -> impl Fn(OverMaximum) -> Self {
        move |over| Self::OverMaximum { path: path.to_owned(), over }
    }

    /// Makes the error about an image at `path` that has no layout.
    pub fn unfit(path: &Path) -> impl Fn(Unfit) -> Self {
        move |unfit| Self::Unfit { path: path.to_owned(), unfit }
    }

    /// Makes the error about an image at `path` that no guest memory could be made for.
    pub fn memory(path: &Path) -> impl Fn(memory::Error) -> Self {
        move |error| Self::Memory { path: path.to_owned(), error }
    }
}

impl From<TooLong> for Error {
    fn from(error: TooLong) -> Self {
        Self::TooLong(error)
    }
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::NoEntropy(error)
    }
}

impl From<devices::NotOpened> for Error {
    fn from(error: devices::NotOpened) -> Self {
        Self::Device(error)
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}

impl From<confine::Error> for Error {
    fn from(error: confine::Error) -> Self {
        Self::Confine(error)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { path, refusal } => write!(f, "{}: {refusal}", path.display()),
            Self::OverMaximum { path, over } => write!(f, "{}: {over}", path.display()),
            // Independent of the image.
            Self::Unfit { unfit: unfit @ Unfit::MemoryTooLarge, .. } => write!(f, "{unfit}"),
            Self::Unfit { path, unfit } => write!(f, "{}: {unfit}", path.display()),
            Self::Memory { error: error @ memory::Error::NoMemory(_), .. } => write!(f, "{error}"),
            Self::Memory { path, error } => write!(f, "{}: {error}", path.display()),
            Self::TooLong(error) => write!(f, "{error}"),
            Self::Mismatch(mismatch) => write!(f, "{mismatch}"),
            Self::Device(error) => write!(f, "{error}"),
            Self::KvmNotOpened(why) => write!(f, "{why}"),
            Self::StrictWithoutKvm(why) => write!(
                f,
                "{why}; --strict takes the weaker sandbox of a process only where it is chosen, by --target spt"
            ),
            Self::Target(error) => write!(f, "{error}"),
            Self::NoOtherProcessor => {
                write!(f, "--cpu baseline takes a virtual machine; in a process, the guest finds the host's processor")
            }
            Self::TooWeak(lacks) => write!(f, "{lacks}; --strict refuses to run a guest like that"),
            Self::Confine(error) => write!(f, "{error}"),
            Self::NoEntropy(error) => write!(f, "{error}"),
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
            Self::NoStreams(error) => write!(
                f,
                "a standard stream is closed, and /dev/null cannot be opened for it: {error}; start husk with standard input, output and error"
            ),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}
