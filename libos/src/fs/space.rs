//! How much memory files take, and may: pages, names, inodes and what waits in pipes all count.
//!
//! The limit is well below what there is, so that a program which fills its files learns it by an error, while there
//! is memory left for its threads and for the libos itself.

use crate::errno::Errno;

/// The account, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Taken.
    pub used: u64,
    /// What may be taken.
    pub limit: u64,
}

impl Space {
    /// What is left.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Takes `bytes`; ENOSPC if there are no more so many.
    pub fn take(&mut self, bytes: u64) -> Result<(), Errno> {
        if bytes > self.free() {
            return Err(Errno::ENOSPC);
        }
        self.used += bytes;
        Ok(())
    }

    /// Takes `bytes` for what is there whether or not there is space for it.
    pub fn take_anyway(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Gives `bytes` back that were taken.
    pub fn give(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }
}
