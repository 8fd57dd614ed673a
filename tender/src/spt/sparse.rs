//! Memory of the sparse region: mapped from the first touch until it is given up. See [`husk_abi::memory`].

use crate::memory::sparse::populated::Populated;
use crate::memory::{Claim, Memory, Touch};

/// Part of the region that the guest has.
#[derive(Debug, Default)]
pub struct Sparse(Populated);

impl Sparse {
    /// Bytes of memory that the guest has in the region.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Returns how many more bytes the guest can get in the region.
    pub fn room(&self, memory: &Memory) -> u64 {
        self.0.room(memory, memory.attached())
    }

    /// Handles a touch of an address of the region.
    pub fn touch(&mut self, memory: &Memory, address: u64) -> Touch {
        self.0.touch(memory, memory.attached(), address, |pages, _| {
            let no_tables = 0;
            memory.sparse().open(pages).ok().map(|()| no_tables)
        })
    }

    /// Releases pages of the region that the guest gives up: the caller must give their memory back to the host at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        self.0.release(memory, claim, |_| {});
    }
}
