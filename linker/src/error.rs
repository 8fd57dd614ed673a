//! Errors for the person at the terminal: *what failed, about which thing, what to do*.

use std::fmt;
use std::io;
use std::path::Path;

/// A message for the person at the terminal; only `main` prints it.
#[derive(Debug)]
pub struct Error(String);

/// Result of most functions here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this message: lower case, no full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// `action` (such as "read") did not work on `path`.
    pub fn file(action: &str, path: &Path, error: io::Error) -> Self {
        Self(format!("cannot {action} '{}': {error}", path.display()))
    }

    /// `program` could not be started.
    pub fn start(program: &Path, error: io::Error) -> Self {
        Self(format!("cannot start '{}': {error}", program.display()))
    }
}

impl From<husk_patcher::Error> for Error {
    fn from(error: husk_patcher::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
