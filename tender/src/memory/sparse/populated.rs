//! Part of the sparse region that the guest has: the pages that it gets at a touch, and the
//! limit on their number. See [`husk_abi::memory`].

use crate::memory::sparse::{PIECE, Sparse};
use crate::memory::{Claim, Memory, Touch};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region};

/// Bytes mapped at a touch (fault-around), if that much is left: the pages around the address. A guest with much memory gets
/// larger pieces, because the host handles a limited number of pieces.
const GRANULE: u64 = 64 << 10;
const PIECES: u64 = 8192;
/// Most bytes mapped at a touch, if the guest has as much right before or behind, and so seems to access one page after the
/// other, upwards or, as a stack, downwards; and if it has many times that left.
pub const LARGE_GRANULE: u64 = LARGE_PAGE;
const PLENTY: u64 = 32 * LARGE_GRANULE;
/// Most bytes that a touch can cost beside its pages: page tables, and what the kernel notes about a slot of KVM's.
const BESIDE: u64 = 3 * PAGE + SLOT_COST;
/// Bytes charged to the guest for the addresses that a slot of KVM's has: the kernel notes 8 bytes for each page, where it
/// shadows page tables.
pub const SLOT_COST: u64 = PIECE / PAGE * 8;
/// Bytes reserved for the guest_ram: a libos without memory of its own could not even report the lack.
const FOR_GUEST_RAM: u64 = 2 << 20;

/// Count of the sparse memory that the guest has.
#[derive(Debug, Default)]
pub struct Populated {
    /// Bytes charged to the guest: mapped pages, page tables, and slots.
    bytes: u64,
}

impl Populated {
    /// Bytes of memory that the guest has in the region.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many more bytes of memory the guest can get in the region, when it has
    /// `attached` bytes of guest-physical memory already: none if the host has no addresses for the region.
    pub fn room(&self, memory: &Memory, attached: u64) -> u64 {
        if memory.sparse().usable().length == 0 {
            return 0;
        }
        let size = memory.layout().physical_size();
        let guest_ram = attached.saturating_add(FOR_GUEST_RAM).min(size);
        size.saturating_sub(guest_ram + self.bytes)
    }

    /// Handles a touch of `address` in the region. `map` maps pages that the guest does not have, and returns the bytes that it
    /// is charged beside them; `None` if it fails. With `true`, the guest walks through the region, and `map` may populate the
    /// pages.
    pub fn touch(
        &mut self,
        memory: &Memory,
        attached: u64,
        address: u64,
        mut map: impl FnMut(Region, bool) -> Option<u64>,
    ) -> Touch {
        let sparse = memory.sparse();
        if sparse.has(address) {
            return Touch::Fault;
        }
        if sparse.rights(address).is_empty() {
            return Touch::Forbidden;
        }
        let page = Region { start: address & !(PAGE - 1), length: PAGE };
        let usual = (self.bytes / PIECES).next_power_of_two().clamp(GRANULE, LARGE_PAGE);
        let small = granule(page, usual, sparse.region());
        let left = self.room(memory, attached).saturating_sub(BESIDE);
        let walked = walked(sparse, page, usual).filter(|_| left >= PLENTY);
        let wanted = match left {
            ..PAGE => return Touch::OutOfMemory,
            PLENTY.. => walked.unwrap_or(small),
            GRANULE.. => granule(page, GRANULE, sparse.region()),
            _ => page,
        };
        let mut runs = sparse.missing(wanted);
        // The touched page first: the others are not needed yet.
        runs.sort_by_key(|run| !run.contains(address));
        let mapped = runs.into_iter().map_while(|run| {
            self.bytes += map(run, walked.is_some())? + run.length;
            Some(())
        });
        if mapped.count() > 0 { Touch::Mapped } else { Touch::OutOfMemory }
    }

    /// Releases pages of the region that the guest gives up; `unmap` takes those that the guest has had.
    pub fn release(&mut self, memory: &Memory, claim: Claim, mut unmap: impl FnMut(Region)) {
        for run in memory.sparse().had(Region { start: claim.address, length: claim.length }) {
            // Pages that the host does not take back stay charged to the guest.
            if memory.sparse().close(run).is_ok() {
                unmap(run);
                self.bytes -= run.length;
            }
        }
    }
}

/// Returns the largest granule around a page, larger than usual, next to a granule of the same size that the guest
/// has: then the guest walks through the region.
fn walked(sparse: &Sparse, page: Region, usual: u64) -> Option<Region> {
    let sizes = std::iter::successors(Some(LARGE_GRANULE), |size| Some(size / 2)).take_while(|size| *size > usual);
    let mut granules = sizes.map(|size| granule(page, size, sparse.region()));
    granules.find(|granule| {
        let mut beside = [granule.start.wrapping_sub(granule.length), granule.end()].into_iter();
        beside.any(|address| {
            let claim = Claim { address, length: granule.length };
            sparse.find(claim).is_some() && sparse.is_mapped(claim)
        })
    })
}

/// Granule of this size that contains a page. The region starts at a multiple of the size, so that no granule begins before it.
fn granule(page: Region, size: u64, region: Region) -> Region {
    let start = page.start & !(size - 1);
    Region::between(start, (start + size).min(region.end()))
}

const _: () = assert!(LARGE_PAGE.is_multiple_of(LARGE_GRANULE));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::sample;
    use crate::memory::layout::Addresses;
    use husk_abi::note::kind;

    #[test]
    fn a_guest_that_walks_either_way_gets_as_much_as_it_has_on_the_side_that_it_comes_from() {
        const HAS: u64 = 256 << 10;
        let memory = sample::memory_of(kind::STD, Addresses::Translated, PAGE);
        let sparse = memory.sparse();
        sparse.host_address().expect("the host has the addresses");
        let (region, middle) = (sparse.region(), sparse.region().start + 16 * LARGE_PAGE);
        sparse.open(Region { start: middle, length: HAS }).expect("the host has the memory");
        let found = |address| walked(sparse, Region { start: address, length: PAGE }, GRANULE);
        assert_eq!(found(middle + HAS), Some(Region { start: middle + HAS, length: HAS }));
        assert_eq!(found(middle - PAGE), Some(Region { start: middle - HAS, length: HAS }));
        for elsewhere in [middle + 2 * HAS, middle - HAS - PAGE, region.start, region.end() - PAGE] {
            assert_eq!(found(elsewhere), None, "{elsewhere:#x}");
        }
    }
}
