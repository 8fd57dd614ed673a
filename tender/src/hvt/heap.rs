//! Demand mapping of the heap and the main stack: in pieces of 2 MiB, each at its first touch, over huge pages of the host
//! where the guest uses one page after the other; and in growing steps where a piece has a table of small pages.
//!
//! A page that the host does not have costs a guest a fault inside KVM, many times what the host takes to zero it. A huge
//! page costs one for 512, but is resident as a whole. So memory is populated only if the guest walks into it, upwards
//! in the heap and downwards in the stack, and if at least half as much is resident on the side that the walk comes from:
//! the waste of a walk is bounded by its use. Other memory is mapped, and the host populates it page by page.
//!
//! Memory that a small program touches is mapped before the program starts: these touches do not leave the virtual machine.
//! The pieces at the heap's start and at the stack's top have small pages, and their rest is mapped in steps of 64 KiB to
//! 1 MiB.
//!
//! An entry of the page tables only ever changes between empty and one page or large page, the same each time: see
//! [`super::sparse`].

use crate::arch::hvt::tables::{self, Owner, Tables};
use crate::image::Image;
use crate::memory::layout::Layout;
use crate::memory::{Claim, Memory};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region, Rights, TENDER_SIZE};

/// Bytes of the heap that are mapped before the guest starts: a small program touches them, here and there.
const HEAP_AT_START: u64 = 1280 << 10;
/// Bytes of the main stack, from its end, that are mapped before the guest starts.
const STACK_AT_START: u64 = 256 << 10;
/// Smallest step within a piece of small pages, in bytes.
const STEP: u64 = 64 << 10;
/// Distance from the edge of a step within which a first touch counts as a walk: a part of the step, or `WALKED` bytes if
/// these are more. An allocator may use pages one after the other in small runs, each from its end.
const WALKED_PART: u64 = 16;
const WALKED: u64 = 8 * PAGE;
/// Pieces mapped at once where the guest does not walk, mostly for stacks of threads.
const PIECES: u64 = 4;

/// Most page tables that a touch takes, in bytes: two for pages, at the ends, and two levels above, where these begin.
const TABLES: u64 = 6 * PAGE;

/// The page tables of the heap and the main stack.
#[derive(Debug)]
pub struct Heap {
    /// Guest-physical address of the next free page for a table.
    next_table: u64,
    /// Bytes that the next touch maps in a piece of small pages that the guest does not walk through. Doubles with each
    /// such touch, so that they are few.
    scattered: u64,
}

impl Heap {
    /// Writes the page tables of a guest that is about to start; `boot_size` is the used size of the boot information area, in
    /// bytes.
    pub fn start(memory: &Memory, image: &Image, boot_size: u64) -> Self {
        let next_table = tables::write(memory, image, boot_size, &Self::at_start(memory.layout()));
        Self { next_table, scattered: STEP }
    }

    /// Regions mapped at the start: of the main stack, and of the heap.
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

    /// Unmaps the large pages that lie in a claim inside the heap. The caller must give their contents back to the host at
    /// once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        let mut tables = Tables::at(memory, self.next_table);
        let (mut piece, end) = (claim.address.next_multiple_of(LARGE_PAGE), claim.address + claim.length);
        while piece + LARGE_PAGE <= end {
            tables.unmap_large(piece);
            piece += LARGE_PAGE;
        }
    }

    /// Maps memory around an address that the guest has touched, if the address is in the main stack or the `usable` part of
    /// the heap and was not mapped. Returns true if memory was mapped.
    pub fn touch(&mut self, memory: &Memory, usable: Region, address: u64) -> bool {
        let stack = memory.layout().main_stack;
        let (usable, walk) = if stack.contains(address) { (stack, Walk::Down) } else { (usable, Walk::Up) };
        let mut tables = Tables::at(memory, self.next_table);
        // A guest that extends the heap by single pages makes each last piece take a table, while there is room for tables.
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

/// Direction in which a guest walks, using one page after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    Up,
    Down,
}

/// Longest step that the guest has walked into, if any: on the side that the walk comes from, at least half as much memory
/// is resident, right up to the step.
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

/// Returns true if a guest that walks into a step of this length has used the pages before the step: one of the nearest is
/// resident, and in all half the step's length.
fn is_used(resident: &[bool], walk: Walk, length: u64) -> bool {
    let near = resident.len().min((WALKED / PAGE) as usize);
    let nearest = if walk == Walk::Up { &resident[resident.len() - near..] } else { &resident[..near] };
    nearest.contains(&true) && resident.iter().filter(|page| **page).count() as u64 >= length / PAGE / 2
}

/// Aligned region of this length, a power of two, that contains an address.
fn granule(address: u64, length: u64) -> Region {
    Region { start: address & !(length - 1), length }
}

/// Maps those pages of a region that are not mapped: with large pages for whole pieces that have no table of small pages.
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

/// Part of a region that lies in another.
fn within(region: Region, other: Region) -> Region {
    Region::between(region.start.max(other.start), region.end().min(other.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::sample;
    use crate::memory::layout::{Addresses, Layout};
    use husk_skip::skip;
    use proptest::prelude::*;

    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    const STACK: u64 = 4 << 20;

    fn guest(size: u64) -> (Memory, Heap) {
        let image = sample::image(true, Region { start: 0, length: PAGE }, STACK);
        let layout = Layout::plan(&image, size, 0, 0, Addresses::Translated).expect("enough memory");
        let memory = Memory::map(layout, &image).expect("the host has that much");
        let heap = Heap::start(&memory, &image, PAGE);
        (memory, heap)
    }

    /// Guest-physical addresses of a region's pages, 0 for those that are not mapped.
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

    /// A guest of 64 MiB whose memory the host can populate, with what is mapped of it at the start; `None` if the host cannot.
    fn populated_guest() -> Option<(Memory, Heap, [Region; 2])> {
        let (memory, heap) = guest(64 << 20);
        let page = Region { start: memory.layout().heap.end() - PAGE, length: PAGE };
        memory.populate(page);
        if memory.resident(page) != [true] {
            skip!("populating memory, which takes Linux 5.14");
            return None;
        }
        let at_start = Heap::at_start(memory.layout());
        Some((memory, heap, at_start))
    }

    /// Uses these pages in turn. Returns the cost for a guest: its exits, and pages that the host did not have.
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
        let Some((memory, mut heap, [stack_at_start, at_start])) = populated_guest() else { return };
        // Memory mapped at the start is populated page by page; beyond it, the guest exits once for each step.
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
        let Some((memory, mut heap, [_, at_start])) = populated_guest() else { return };
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
        let Some((memory, mut heap, [_, at_start])) = populated_guest() else { return };
        let small = Region::between(at_start.end(), at_start.end().next_multiple_of(LARGE_PAGE));
        let touched = (small.start..small.end()).step_by(24 * PAGE as usize);
        let (exits, absent) = walk(&memory, &mut heap, touched.clone());
        assert!(exits <= 5, "{exits} exits");
        assert_eq!(absent, touched.count() as u64);
        let resident = memory.resident(small).into_iter().filter(|page| *page).count();
        assert_eq!(resident as u64, absent);
    }

    /// Flags (proc_pid_smaps(5)) of the mapping that has this page of the guest RAM.
    fn flags(memory: &Memory, address: u64) -> String {
        let on_host = memory.host_address() + memory.layout().physical(address);
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("proc_pid_smaps(5)");
        let has_page = |line: &str| {
            let ends = line.split_once(' ')?.0.split_once('-')?;
            let [start, end] = [ends.0, ends.1].map(|end| u64::from_str_radix(end, 16).ok());
            Some((start?..end?).contains(&on_host))
        };
        let mut lines = smaps.lines().skip_while(|line| has_page(line) != Some(true));
        lines.find(|line| line.starts_with("VmFlags:")).expect("a mapping has flags").to_owned()
    }

    #[test]
    fn a_protected_page_leaves_no_advice_for_a_huge_page_behind() {
        let (memory, _) = guest(64 << 20);
        let start = Heap::at_start(memory.layout())[1].end().next_multiple_of(LARGE_PAGE);
        let piece = Region { start, length: LARGE_PAGE };
        let page = Claim { address: start + PAGE, length: PAGE };
        for rights in [Rights::empty(), Rights::READ | Rights::WRITE] {
            memory.protect(page, rights).expect("it is the guest's").expect("the host can");
            memory.populate(piece);
            for address in [start, page.address, piece.end() - PAGE] {
                let flags = flags(&memory, address);
                assert!(!flags.split(' ').any(|flag| flag == "hg"), "{rights:?}: {flags}");
            }
        }
    }

    #[test]
    fn memory_is_populated_ahead_of_a_guest_that_walks_and_of_no_other() {
        let Some((memory, mut heap, [_, at_start])) = populated_guest() else { return };
        let usable = memory.layout().heap;
        let first = Region { start: at_start.end().next_multiple_of(LARGE_PAGE), length: LARGE_PAGE };
        let next = |count| Region { start: first.start + count * LARGE_PAGE, ..first };
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
