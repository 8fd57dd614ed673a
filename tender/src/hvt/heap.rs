//! Demand mapping of the heap and the main stack: in pieces of 2 MiB, each at its first touch, over huge pages of the host
//! where the guest uses one page after the other; and in growing steps where a piece has a table of small pages.
//!
//! A page that the host does not have costs a guest a fault inside KVM, many times what the host takes to zero it. A huge
//! page costs one for 512, but is resident as a whole. So memory is populated only if the guest walks into it, upwards
//! in the heap and downwards in the stack, and at least half of as much is resident on the side that it comes from: what a
//! walk wastes is bounded by what it used. Other memory is mapped, and the host populates it page by page.
//!
//! What a small program touches is mapped before it starts: these touches do not leave the virtual machine. Its piece, like
//! the one of a stack's top, has small pages, and the rest of it comes in steps of 64 KiB to 1 MiB.
//!
//! Entries of the page tables only ever change between nothing and one page or large page, always the same: see
//! [`super::sparse`].

use super::tables::{Owner, Tables};
use crate::layout::Layout;
use crate::memory::{Claim, Memory};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region, Rights, TENDER_SIZE};

/// Bytes of the heap that are mapped before the guest starts: what a small program touches, here and there.
const HEAP_AT_START: u64 = 1280 << 10;
/// The same of the main stack, from its end.
const STACK_AT_START: u64 = 256 << 10;
/// Smallest step within a piece of small pages, in bytes.
const STEP: u64 = 64 << 10;
/// How far into a step a guest comes that walks into it: a part of it, or so many bytes. An allocator may use pages one after
/// the other in small runs, each from its end.
const WALKED_PART: u64 = 16;
const WALKED: u64 = 8 * PAGE;
/// Pieces mapped at once where the guest does not walk: stacks of threads, most of all.
const PIECES: u64 = 4;

/// Most page tables that a touch takes, in bytes: two for pages, at the ends, and two levels above, where these begin.
const TABLES: u64 = 6 * PAGE;

/// The page tables of the heap and the main stack.
#[derive(Debug)]
pub struct Heap {
    /// Guest-physical address of the next free page for a table.
    next_table: u64,
    /// Bytes that the next touch maps in a piece of small pages that the guest does not walk through. It doubles, so that such
    /// touches are few.
    scattered: u64,
}

impl Heap {
    /// Continues the tables that [`super::tables::write`] has made.
    pub fn new(next_table: u64) -> Self {
        Self { next_table, scattered: STEP }
    }

    /// What is mapped at the start: of the main stack, and of the heap.
    pub fn at_start(layout: &Layout) -> [Region; 2] {
        let (stack, heap) = (layout.main_stack, layout.heap);
        let start = stack.end().saturating_sub(STACK_AT_START) & !(STEP - 1);
        let end = (heap.start + HEAP_AT_START).next_multiple_of(STEP);
        [Region::between(start.max(stack.start), stack.end()), Region::between(heap.start, end.min(heap.end()))]
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

    /// Maps what the guest has touched, if it is in the main stack or the `usable` part of the heap and was not mapped.
    pub fn touch(&mut self, memory: &Memory, usable: Region, address: u64) -> bool {
        let stack = memory.layout().main_stack;
        let (usable, walk) = if stack.contains(address) { (stack, Walk::Down) } else { (usable, Walk::Up) };
        let mut tables = Tables::at(memory, self.next_table);
        // A guest can have the last piece grow by pages, in many places: as long as there is room for tables of them.
        let image = (memory.layout().image_file.length / (LARGE_PAGE << 9) + 4) * PAGE;
        let has_room = self.next_table + TABLES + image <= TENDER_SIZE;
        if !usable.contains(address) || tables.maps(address) || !has_room {
            return false;
        }
        let is_small = tables.has_table(address);
        let walked = walked(memory, usable, address, walk, is_small);
        let wanted = walked.unwrap_or_else(|| match is_small {
            true => granule(address, self.scattered),
            false => Region { length: PIECES * LARGE_PAGE, ..granule(address, LARGE_PAGE) },
        });
        if is_small && walked.is_none() {
            self.scattered = (2 * self.scattered).min(LARGE_PAGE / 2);
        }
        let wanted = within(wanted, usable);
        map(&mut tables, memory, wanted);
        self.next_table = tables.next();
        if walked.is_some() {
            memory.populate(wanted);
        }
        true
    }
}

/// Which way a guest walks that uses one page after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    Up,
    Down,
}

/// The longest step that the guest has come into by walking, if any: half of as much on the side that it comes from is
/// resident, right up to the step.
fn walked(memory: &Memory, usable: Region, address: u64, walk: Walk, is_small: bool) -> Option<Region> {
    let (longest, shortest) = if is_small { (LARGE_PAGE / 2, STEP) } else { (LARGE_PAGE, LARGE_PAGE) };
    let lengths = std::iter::successors(Some(longest), |length| Some(length / 2)).take_while(|it| *it >= shortest);
    lengths.map(|length| granule(address, length)).find(|step| {
        let length = step.length;
        let (depth, beside) = match walk {
            Walk::Up => (address - step.start, Region { start: step.start.saturating_sub(length), length }),
            Walk::Down => (step.end() - 1 - address, Region { start: step.end(), length }),
        };
        depth < (length / WALKED_PART).max(WALKED) && is_used(&memory.resident(within(beside, usable)), walk, length)
    })
}

/// Whether so much is used of the pages that a guest comes from which walks into a step of this length.
fn is_used(resident: &[bool], walk: Walk, length: u64) -> bool {
    let near = resident.len().min((WALKED / PAGE) as usize);
    let nearest = if walk == Walk::Up { &resident[resident.len() - near..] } else { &resident[..near] };
    nearest.contains(&true) && resident.iter().filter(|page| **page).count() as u64 >= length / PAGE / 2
}

/// What contains an address of pieces of this length, a power of two.
fn granule(address: u64, length: u64) -> Region {
    Region { start: address & !(length - 1), length }
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
    const STACK: u64 = 4 << 20;

    fn guest(size: u64) -> (Memory, Heap) {
        let image = sample::image(true, Region { start: 0, length: PAGE }, STACK);
        let layout = Layout::plan(&image, size, 0, 0, Addresses::Translated).expect("enough memory");
        let memory = Memory::map(layout, &image).expect("the host has that much");
        let heap = Heap::new(tables::write(&memory, &image, PAGE));
        (memory, heap)
    }

    /// What each page of a region leads to, 0 for nothing.
    fn translated(memory: &Memory, heap: &Heap, region: Region) -> Vec<u64> {
        let tables = Tables::at(memory, heap.next_table);
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
        Stack(u64),
        Attach(u64),
        Release(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let page = 0..(32 << 20) / PAGE;
        prop_oneof![
            page.clone().prop_map(Step::Touch),
            (0..STACK / PAGE).prop_map(Step::Stack),
            page.clone().prop_map(Step::Attach),
            (page.clone(), page).prop_map(|(first, count)| Step::Release(first, count)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_mapped_is_usable_and_leads_to_its_own_page(steps in prop::collection::vec(step(), 1..20)) {
            let (memory, mut heap) = guest(32 << 20);
            let (region, stack) = (memory.layout().heap, memory.layout().main_stack);
            let [_, mut usable] = Heap::at_start(memory.layout());
            let pages = |heap: &Heap| [region, stack].map(|region| translated(&memory, heap, region));
            for step in steps {
                let before = pages(&heap);
                match step {
                    Step::Attach(pages) => usable.length = usable.length.max(pages * PAGE).min(region.length),
                    Step::Touch(page) => {
                        let address = region.start + page * PAGE + 8;
                        let was = before[0].get(page as usize).copied().unwrap_or(0);
                        let mapped = heap.touch(&memory, usable, address);
                        prop_assert_eq!(mapped, usable.contains(address) && was == 0);
                    }
                    Step::Stack(page) => {
                        let mapped = heap.touch(&memory, usable, stack.start + page * PAGE + 8);
                        prop_assert_eq!(mapped, before[1][page as usize] == 0);
                    }
                    Step::Release(first, count) => {
                        let (first, count) = (first.min(region.length / PAGE), count.min(region.length / PAGE));
                        let length = (count * PAGE).min(region.length - first * PAGE);
                        heap.release(&memory, Claim { address: region.start + first * PAGE, length });
                    }
                }
                let after = pages(&heap);
                for (part, its, (before, after)) in
                    [(region, usable, (&before[0], &after[0])), (stack, stack, (&before[1], &after[1]))]
                {
                    for (page, (was, is)) in before.iter().zip(after).enumerate() {
                        let address = part.start + page as u64 * PAGE;
                        prop_assert!(*is == 0 || *is == memory.layout().physical(address) && its.contains(address));
                        prop_assert!(was == is || *was == 0 || *is == 0);
                    }
                }
            }
        }
    }

    #[test]
    fn a_heap_that_grows_by_pages_in_many_places_runs_out_of_tables_without_harm() {
        let (memory, mut heap) = guest(1 << 30);
        let region = memory.layout().heap;
        let first = Heap::at_start(memory.layout())[1].end().next_multiple_of(LARGE_PAGE);
        let touched = (first..region.end()).step_by(LARGE_PAGE as usize).take_while(|piece| {
            let usable = Region::between(region.start, piece + PAGE);
            heap.touch(&memory, usable, *piece)
        });
        assert!(touched.count() > 64);
        assert!(heap.next_table <= TENDER_SIZE);
    }

    /// Whether the host can populate memory.
    fn populates(memory: &Memory, usable: Region) -> bool {
        let page = Region { start: usable.end() - PAGE, length: PAGE };
        memory.populate(page);
        let can = memory.resident(page) == [true];
        if !can {
            eprintln!("*** SKIPPED: populating memory, which takes Linux 5.14 ***");
        }
        can
    }

    /// What a guest costs that uses these pages in turn: how often it leaves, and how many pages the host did not have.
    fn walk(memory: &Memory, heap: &mut Heap, pages: impl Iterator<Item = u64>) -> (u64, u64) {
        let (mut exits, mut absent) = (0, 0);
        for address in pages {
            exits += u64::from(heap.touch(memory, memory.layout().heap, address));
            let page = Region { start: address & !(PAGE - 1), length: PAGE };
            if memory.resident(page) == [false] {
                memory.populate(page);
                absent += 1;
            }
        }
        (exits, absent)
    }

    #[test]
    fn a_guest_that_walks_gets_memory_in_growing_steps_up_the_heap_and_down_the_stack() {
        let (memory, mut heap) = guest(64 << 20);
        let [stack_at_start, at_start] = Heap::at_start(memory.layout());
        if !populates(&memory, memory.layout().heap) {
            return;
        }
        // What is mapped at the start comes page by page; beyond, the guest leaves once for each step.
        let up = |region: Region| (region.start..region.end()).step_by(PAGE as usize);
        let down = |region: Region| up(region).map(move |page| region.start + (region.end() - PAGE - page) + PAGE - 8);
        assert_eq!(walk(&memory, &mut heap, up(at_start)), (0, at_start.length / PAGE));
        let rest = Region::between(at_start.end(), at_start.end().next_multiple_of(LARGE_PAGE) + LARGE_PAGE);
        let (exits, absent) = walk(&memory, &mut heap, up(rest));
        assert!(exits <= 6 && absent == 0, "{exits} exits, {absent} pages absent");
        assert_eq!(walk(&memory, &mut heap, down(stack_at_start)), (0, stack_at_start.length / PAGE));
        let rest = Region::between(memory.layout().main_stack.start, stack_at_start.start);
        let (exits, absent) = walk(&memory, &mut heap, down(rest));
        assert!(exits <= 6 && absent == 0, "{exits} exits, {absent} pages absent");
    }

    #[test]
    fn a_guest_that_uses_runs_of_pages_from_their_ends_walks() {
        let (memory, mut heap) = guest(64 << 20);
        let [_, at_start] = Heap::at_start(memory.layout());
        if !populates(&memory, memory.layout().heap) {
            return;
        }
        // The first page of a step is in the middle of a run.
        let runs = |region: Region| (region.start + PAGE..region.end()).step_by(4 * PAGE as usize);
        let pages = |region: Region| runs(region).flat_map(|run| [3, 2, 1, 0].map(|page| run + page * PAGE));
        walk(&memory, &mut heap, pages(at_start));
        let rest = Region::between(at_start.end(), at_start.end().next_multiple_of(LARGE_PAGE));
        let (exits, absent) = walk(&memory, &mut heap, pages(rest));
        assert!(exits <= 6 && absent <= 4, "{exits} exits, {absent} pages absent");
    }

    #[test]
    fn a_guest_that_touches_pages_here_and_there_leaves_rarely_and_gets_no_others() {
        let (memory, mut heap) = guest(64 << 20);
        let [_, at_start] = Heap::at_start(memory.layout());
        if !populates(&memory, memory.layout().heap) {
            return;
        }
        let small = Region::between(at_start.end(), at_start.end().next_multiple_of(LARGE_PAGE));
        let touched = (small.start..small.end()).step_by(24 * PAGE as usize);
        let (exits, absent) = walk(&memory, &mut heap, touched.clone());
        assert!(exits <= 5, "{exits} exits");
        assert_eq!(absent, touched.count() as u64);
        let resident = memory.resident(small).into_iter().filter(|page| *page).count();
        assert_eq!(resident as u64, absent);
    }

    #[test]
    fn memory_is_populated_ahead_of_a_guest_that_walks_and_of_no_other() {
        let (memory, mut heap) = guest(64 << 20);
        let usable = memory.layout().heap;
        let start = Heap::at_start(memory.layout())[1].end().next_multiple_of(LARGE_PAGE);
        let first = Region { start, length: LARGE_PAGE };
        let next = |count| Region { start: first.start + count * LARGE_PAGE, ..first };
        if !populates(&memory, usable) {
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
