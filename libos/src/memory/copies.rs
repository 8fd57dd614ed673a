//! Mappings to be read that are copies of files of the host. The program may not write to them: on Linux, they would be the file, and
//! it has not been opened for writing.

use crate::errno::Errno;
use alloc::vec::Vec;
use husk::abi::memory::{PAGE, Region};

/// The mappings, in no order; none lies in another.
#[derive(Debug, Default)]
pub struct Copies(Vec<Region>);

impl Copies {
    /// Makes room for one mapping, and for the pieces of those there are.
    pub fn reserve(&mut self) -> Result<(), Errno> {
        self.0.try_reserve(2).map_err(|_| Errno::ENOMEM)
    }

    /// Adds a mapping, for which there is room.
    pub fn add(&mut self, start: u64, length: u64) {
        self.0.push(Region { start, length });
    }

    /// Returns true if any of these bytes is in a mapping.
    pub fn meets(&self, start: u64, length: u64) -> bool {
        let end = start.saturating_add(length);
        self.0.iter().any(|copy| copy.start < end && start < copy.end())
    }

    /// Removes the pages of these bytes, which are mapped no more, or anew.
    pub fn remove(&mut self, start: u64, length: u64) {
        let end = start.saturating_add(pages(length));
        for at in (0..self.0.len()).rev() {
            let copy = self.0[at];
            if copy.start >= end || start >= copy.end() {
                continue;
            }
            self.0.swap_remove(at);
            for (from, to) in [(copy.start, start), (end, copy.end())] {
                if from < to {
                    // Without memory, the piece can be made writable: a copy that the program then changes for itself alone.
                    let _ = self.0.try_reserve(1).map(|()| self.0.push(Region::between(from, to)));
                }
            }
        }
    }

    /// Moves the pages of these bytes, which are mapped elsewhere now, with another length.
    pub fn moved(&mut self, (start, length): (u64, u64), (to, new): (u64, u64)) {
        if self.meets(start, length) {
            self.remove(start, length);
            if self.reserve().is_ok() {
                self.add(to, pages(new));
            }
        }
    }
}

/// Length of the pages of so many bytes from the start of one.
fn pages(length: u64) -> u64 {
    length.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unmapped_is_no_copy_any_more() {
        let mut copies = Copies::default();
        copies.reserve().expect("there is memory");
        copies.add(0x1000, 0x5000);
        assert!(copies.meets(0x5fff, 1) && !copies.meets(0x6000, 1) && !copies.meets(0, 0x1000));
        copies.remove(0x3000, 0x1000);
        assert!(copies.meets(0x2000, 0x1000) && !copies.meets(0x3000, 0x1000) && copies.meets(0x4000, 0x1000));
        copies.moved((0x4000, 0x2000), (0x9000, 0x1000));
        assert!(!copies.meets(0x4000, 0x2000) && copies.meets(0x9000, 1) && !copies.meets(0xa000, 1));
        copies.moved((0x9000, 0x800), (0x20000, 0x1800));
        assert!(!copies.meets(0x9000, 0x1000) && copies.meets(0x21fff, 1) && !copies.meets(0x22000, 1));
        copies.remove(0, u64::MAX);
        assert!(copies.0.is_empty());
        copies.moved((0, 0x1000), (0x9000, 0x1000));
        assert!(copies.0.is_empty());
    }
}
