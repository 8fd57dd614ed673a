//! Failures of a process to confine itself.

use crate::host::entropy::NoEntropy;
use std::fmt;
use std::io;

/// A failed step of a confinement.
#[derive(Debug)]
pub enum Error {
    /// The kernel refused the step.
    NotConfined(io::Error),
    /// The process could not take another identity.
    NotThatUser(io::Error),
    /// No thread could be made.
    NoThread(io::Error),
    /// No random bytes were available.
    NoEntropy(NoEntropy),
    /// Signals could not be handled.
    NoSignals(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfined(error) => {
                write!(
                    f,
                    "husk cannot confine itself, and does not run without: {error}; it takes a kernel with seccomp"
                )
            }
            Self::NotThatUser(error) => write!(f, "cannot go on as that user: {error}; --user takes root"),
            Self::NoThread(error) => write!(f, "the host has no thread or descriptor left for devices: {error}"),
            Self::NoEntropy(error) => write!(f, "{error}"),
            Self::NoSignals(error) => write!(f, "the host does not let this process handle signals: {error}"),
        }
    }
}
