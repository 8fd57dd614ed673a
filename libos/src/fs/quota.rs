//! Memory of files, and its limit: pages, names, inodes and contents of pipes all count.
//!
//! The limit is well below the free memory, so that a program that fills its files gets an error while there is memory left for
//! its threads and for the libos itself.

use crate::errno::Errno;

/// Memory that files may take, and what they do take, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Bytes in use.
    pub used: u64,
    /// Most bytes in use.
    pub limit: u64,
}

impl Quota {
    /// Bytes that are left.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Takes `bytes`; ENOSPC if fewer are left.
    pub fn take(&mut self, bytes: u64) -> Result<(), Errno> {
        if bytes > self.free() {
            return Err(Errno::ENOSPC);
        }
        self.used += bytes;
        Ok(())
    }

    /// Takes `bytes` without regard to the limit.
    pub fn take_anyway(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Gives back `bytes` taken before.
    pub fn give(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }
}
