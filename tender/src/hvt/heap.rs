//! Demand mapping of the heap: pieces of 2 MiB, each at its first touch, over huge pages of the host where the guest uses
//! one page after the other.
//!
//! A page that the host does not have costs a guest a fault inside KVM, many times what the host takes to zero it. A huge
//! page costs one for 512, but is resident as a whole. So a piece is populated only if the guest walks into it from below
//! and half of what lies there is resident: at most as much is wasted as was used. Other pieces are mapped, and the host
//! populates them page by page.
//!
//! Entries of the page tables only ever change between nothing and one page or large page, always the same: see
//! [`super::sparse`].

use super::tables::{Owner, Tables};
use crate::memory::{Claim, Memory};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region, Rights, TENDER_SIZE};

/// Bytes of the heap that are mapped before the guest starts: what a small program touches.
pub const MAPPED_AT_START: u64 = 2 << 20;
/// How far into a piece a guest comes that walks into it from below.
const WALKED: u64 = LARGE_PAGE / 16;
/// Pieces mapped at once where the guest does not walk: stacks of threads, most of all.
const PIECES: u64 = 4;

/// Most page tables that a touch takes, in bytes: two for pages, at the ends, and two levels above, where these begin.
const TABLES: u64 = 6 * PAGE;

/// The page tables of the heap.
#[derive(Debug)]
pub struct Heap {
    /// Guest-physical address of the next free page for a table.
    next_table: u64,
}

impl Heap {
    /// Continues the tables that [`super::tables::write`] has made.
    pub fn new(next_table: u64) -> Self {
        Self { next_table }
    }

    /// What is mapped of it at the start.
    pub fn at_start(heap: Region) -> Region {
        let end = (heap.start + MAPPED_AT_START).next_multiple_of(LARGE_PAGE);
        Region::between(heap.start, end.min(heap.end()))
    }

    /// Maps the image file, which has a slot now.
    pub fn map_image(&mut self, memory: &Memory) {
        let file = memory.layout().image_file;
        let mut tables = Tables::at(memory, self.next_table);
        if !tables.maps(file.start) {
            let pages = Region { length: file.length.next_multiple_of(PAGE), ..file };
            tables.map(pages, memory.layout().physical(file.start), Rights::READ, Owner::Guest);
        }
        self.next_table = tables.next();
    }

    /// Takes large pages from the guest that lie in a claim inside the heap: their contents must be given back to the host
    /// at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        let mut tables = Tables::at(memory, self.next_table);
        let (mut piece, end) = (claim.address.next_multiple_of(LARGE_PAGE), claim.address + claim.length);
        while piece + LARGE_PAGE <= end {
            tables.unmap_large(piece);
            piece += LARGE_PAGE;
        }
    }

    /// Maps what the guest has touched, if it is in the `usable` part of the heap and was not mapped.
    pub fn touch(&mut self, memory: &Memory, usable: Region, address: u64) -> bool {
        let mut tables = Tables::at(memory, self.next_table);
        // A guest can have the last piece grow by pages, in many places: as long as there is room for tables of them.
        let image = (memory.layout().image_file.length / (LARGE_PAGE << 9) + 4) * PAGE;
        let has_room = self.next_table + TABLES + image <= TENDER_SIZE;
        if !usable.contains(address) || tables.maps(address) || !has_room {
            return false;
        }
        let piece = Region { start: address & !(LARGE_PAGE - 1), length: LARGE_PAGE };
        let walked = address - piece.start < WALKED && is_used(memory, usable, piece.start);
        let length = if walked { LARGE_PAGE } else { PIECES * LARGE_PAGE };
        let wanted = within(Region { length, ..piece }, usable);
        map(&mut tables, memory, wanted);
        self.next_table = tables.next();
        if walked && wanted == piece {
            memory.populate(piece);
        }
        true
    }
}

/// Whether half of the piece before this address is resident, and its last page.
fn is_used(memory: &Memory, usable: Region, end: u64) -> bool {
    let below = within(Region { start: end - LARGE_PAGE, length: LARGE_PAGE }, usable);
    let resident = memory.resident(below);
    resident.last() == Some(&true) && resident.iter().filter(|page| **page).count() as u64 >= LARGE_PAGE / PAGE / 2
}

/// Maps what is not mapped of whole pages: large pages where nothing is.
fn map(tables: &mut Tables, memory: &Memory, wanted: Region) {
    let rights = Rights::READ | Rights::WRITE;
    let mut start = wanted.start;
    while start < wanted.end() {
        let end = (start & !(LARGE_PAGE - 1)) + LARGE_PAGE;
        let piece = Region::between(start, end.min(wanted.end()));
        start = piece.end();
        let physical = memory.layout().physical(piece.start);
        if piece.length == LARGE_PAGE && !tables.has_table(piece.start) {
            if !tables.maps(piece.start) {
                tables.map(piece, physical, rights, Owner::Guest);
            }
            continue;
        }
        for offset in (0..piece.length).step_by(PAGE as usize) {
            if !tables.maps(piece.start + offset) {
                let page = Region { start: piece.start + offset, length: PAGE };
                tables.map(page, physical + offset, rights, Owner::Guest);
            }
        }
    }
}

/// The part of a region that lies in another.
fn within(region: Region, other: Region) -> Region {
    Region::between(region.start.max(other.start), region.end().min(other.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hvt::tables;
    use crate::layout::{Addresses, Layout};
    use crate::sample;
    use proptest::prelude::*;

    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    fn guest(size: u64) -> (Memory, Heap) {
        let image = sample::image(true, Region { start: 0, length: PAGE }, 1 << 20);
        let layout = Layout::plan(&image, size, 0, 0, Addresses::Translated).expect("enough memory");
        let memory = Memory::map(layout, &image).expect("the host has that much");
        let heap = Heap::new(tables::write(&memory, &image, PAGE));
        (memory, heap)
    }

    /// What each page of the heap leads to, 0 for nothing.
    fn translated(memory: &Memory, heap: &Heap) -> Vec<u64> {
        let (region, tables) = (memory.layout().heap, Tables::at(memory, heap.next_table));
        let page = |address: u64| match tables.leaf(address) {
            None | Some((_, 0)) => 0,
            Some((1, entry)) => entry & ADDRESS,
            Some((_, entry)) => (entry & ADDRESS) + (address & (LARGE_PAGE - 1) & !(PAGE - 1)),
        };
        (region.start..region.end()).step_by(PAGE as usize).map(page).collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Touch(u64),
        Attach(u64),
        Release(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let page = 0..(32 << 20) / PAGE;
        prop_oneof![
            page.clone().prop_map(Step::Touch),
            page.clone().prop_map(Step::Attach),
            (page.clone(), page).prop_map(|(first, count)| Step::Release(first, count)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_mapped_is_usable_and_leads_to_its_own_page(steps in prop::collection::vec(step(), 1..20)) {
            let (memory, mut heap) = guest(32 << 20);
            let region = memory.layout().heap;
            let mut usable = Heap::at_start(region);
            for step in steps {
                let before = translated(&memory, &heap);
                match step {
                    Step::Attach(pages) => usable.length = usable.length.max(pages * PAGE).min(region.length),
                    Step::Touch(page) => {
                        let address = region.start + page * PAGE + 8;
                        let was = before.get(page as usize).copied().unwrap_or(0);
                        let mapped = heap.touch(&memory, usable, address);
                        prop_assert_eq!(mapped, usable.contains(address) && was == 0);
                    }
                    Step::Release(first, count) => {
                        let (first, count) = (first.min(region.length / PAGE), count.min(region.length / PAGE));
                        let length = (count * PAGE).min(region.length - first * PAGE);
                        heap.release(&memory, Claim { address: region.start + first * PAGE, length });
                    }
                }
                let after = translated(&memory, &heap);
                for (page, (was, is)) in before.iter().zip(&after).enumerate() {
                    let address = region.start + page as u64 * PAGE;
                    prop_assert!(*is == 0 || *is == memory.layout().physical(address) && usable.contains(address));
                    prop_assert!(was == is || *was == 0 || *is == 0);
                }
            }
        }
    }

    #[test]
    fn a_heap_that_grows_by_pages_in_many_places_runs_out_of_tables_without_harm() {
        let (memory, mut heap) = guest(1 << 30);
        let region = memory.layout().heap;
        let first = Heap::at_start(region).end();
        let touched = (first..region.end()).step_by(LARGE_PAGE as usize).take_while(|piece| {
            let usable = Region::between(region.start, piece + PAGE);
            heap.touch(&memory, usable, *piece)
        });
        assert!(touched.count() > 64);
        assert!(heap.next_table <= TENDER_SIZE);
    }

    #[test]
    fn memory_is_populated_ahead_of_a_guest_that_walks_and_of_no_other() {
        let (memory, mut heap) = guest(64 << 20);
        let usable = memory.layout().heap;
        let first = Region { start: Heap::at_start(usable).end(), length: LARGE_PAGE };
        let next = |count| Region { start: first.start + count * LARGE_PAGE, ..first };
        memory.populate(Region { start: first.start, length: PAGE });
        if !memory.resident(first)[0] {
            eprintln!("*** SKIPPED: populating memory, which takes Linux 5.14 ***");
            return;
        }
        let held = |piece| memory.resident(piece).iter().filter(|page| **page).count();
        assert!(heap.touch(&memory, usable, next(1).start + LARGE_PAGE / 2));
        assert_eq!(held(next(1)), 0, "nothing lies right below");
        memory.populate(Region { start: next(4).start + LARGE_PAGE / 2, length: LARGE_PAGE / 2 });
        assert!(heap.touch(&memory, usable, next(5).start));
        assert_eq!(held(next(5)), (LARGE_PAGE / PAGE) as usize);
        assert_eq!(held(next(6)), 0);
        heap.release(&memory, Claim { address: next(5).start, length: LARGE_PAGE });
        memory.discard(Claim { address: next(5).start, length: LARGE_PAGE }, 0).expect("its own").expect("done");
        assert_eq!(held(next(5)), 0);
        assert!(heap.touch(&memory, usable, next(5).start), "a touch is seen again");
    }
}
