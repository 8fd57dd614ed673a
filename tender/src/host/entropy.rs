//! Random bytes of the host.

use std::fmt;
use std::io;

/// The host has no random bytes to give.
#[derive(Debug)]
pub struct NoEntropy(pub io::Error);

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host gives no random bytes: {}", self.0)
    }
}

/// Fills `bytes` by getrandom(2).
pub fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    getrandom::fill(bytes).map_err(|error| NoEntropy(error.into()))
}
