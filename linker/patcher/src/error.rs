//! Files that a linker does not make.

use std::fmt;

/// What is wrong with a file, for the person at the terminal.
#[derive(Debug)]
pub struct Error(String);

/// Result of reading a file.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this message: lower case, no full stop.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
