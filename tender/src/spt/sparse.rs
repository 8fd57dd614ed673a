//! Memory for the sparse region: accessible from the first touch on, until it is given up. See [`husk_abi::memory`].

use crate::memory::host::protect;
use crate::memory::{Claim, Memory};
use crate::sparse::given::{Given, Touch};
use husk_abi::memory::{Region, Rights};

/// What the guest has of the region.
#[derive(Debug, Default)]
pub struct Sparse(Given);

impl Sparse {
    /// Bytes of memory that the guest has here.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// How many more bytes the guest can get here.
    pub fn room(&self, memory: &Memory) -> u64 {
        self.0.room(memory, memory.attached())
    }

    /// The guest touched an address of the region.
    pub fn touch(&mut self, memory: &Memory, address: u64) -> Touch {
        // Makes the record of pages, if there is none yet.
        if memory.sparse().host_address().is_none() {
            return Touch::OutOfMemory;
        }
        self.0.touch(memory, memory.attached(), address, |pages, _| {
            let no_tables = 0;
            memory.sparse().open(pages).ok().map(|()| no_tables)
        })
    }

    /// The guest gives pages of the region up: their memory must be given back to the host at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        // That nobody can touch them is of no use to the tender but that it counts them: if it cannot be done, they still count.
        if protect(Region { start: claim.address, length: claim.length }, Rights::empty()).is_ok() {
            self.0.release(memory, claim, |_| {});
        }
    }
}
