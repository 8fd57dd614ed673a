//! Reasons why no disk was made.

use std::fmt;

/// Result of a step.
pub type Result<T> = std::result::Result<T, Error>;

/// A disk that cannot be made.
#[derive(Debug)]
pub enum Error {
    /// The file system has no room left.
    Full,
    /// This signal asked for the end.
    Signal(i32),
    /// Line for the person at the terminal.
    Refused(String),
}

impl Error {
    /// What is wrong, about which thing.
    pub fn about(path: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::Refused(format!("{path}: {what}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full"),
            Self::Signal(_) => f.write_str("ended by a signal; no disk was made"),
            Self::Refused(line) => f.write_str(line),
        }
    }
}
