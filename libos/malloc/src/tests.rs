//! The heap against a model, over pages with checked use.

#![expect(unsafe_code, reason = "blocks are raw memory")]

use crate::cache::Cache;
use crate::heap::Heap;
use crate::pages::{PAGE, Pages};
use proptest::prelude::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::slice;
use std::sync::Mutex;

const ARENA: usize = 48 << 20;
/// Contents of unmapped pages.
const GONE: u8 = 0xee;

/// Pages from an arena, which detects the release of pages that were not mapped.
struct Arena {
    start: usize,
    mapped: Mutex<Vec<bool>>,
}

impl Arena {
    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(Self::layout()) } as usize;
        Self { start, mapped: Mutex::new(vec![false; ARENA / PAGE]) }
    }

    fn layout() -> Layout {
        Layout::from_size_align(ARENA, PAGE).expect("small enough")
    }

    fn mapped(&self) -> usize {
        self.mapped.lock().expect("no test panics within").iter().filter(|page| **page).count()
    }

    fn take(&self, address: usize, length: usize) {
        let first = (address - self.start) / PAGE;
        self.mapped.lock().expect("no test panics within")[first..first + length / PAGE].fill(true);
        // SAFETY: the pages lie in the arena.
        unsafe { (address as *mut u8).write_bytes(0, length) };
    }

    fn is_free(&self, address: usize, length: usize) -> bool {
        let first = (address - self.start) / PAGE;
        let mapped = self.mapped.lock().expect("no test panics within");
        mapped.get(first..first + length / PAGE).is_some_and(|pages| !pages.contains(&true))
    }

    fn check(&self, address: usize, length: usize) {
        assert!(address.is_multiple_of(PAGE) && length.is_multiple_of(PAGE));
        let first = (address - self.start) / PAGE;
        assert!(!self.mapped.lock().expect("no test panics within")[first..first + length / PAGE].contains(&false));
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: `new` allocated the arena with this layout.
        unsafe { dealloc(self.start as *mut u8, Self::layout()) };
    }
}

impl Pages for &Arena {
    fn map(&self, length: usize) -> Option<usize> {
        let end = self.start + ARENA;
        let places = (self.start..end).step_by(PAGE);
        let place = places.take_while(|place| end - place >= length).find(|place| self.is_free(*place, length))?;
        self.take(place, length);
        Some(place)
    }

    fn map_at(&self, address: usize, length: usize) -> bool {
        let is_free = address + length <= self.start + ARENA && self.is_free(address, length);
        if is_free {
            self.take(address, length);
        }
        is_free
    }

    fn unmap(&self, address: usize, length: usize) {
        self.check(address, length);
        let first = (address - self.start) / PAGE;
        self.mapped.lock().expect("no test panics within")[first..first + length / PAGE].fill(false);
        // SAFETY: the pages lie in the arena.
        unsafe { (address as *mut u8).write_bytes(GONE, length) };
    }

    fn resize(&self, address: usize, old: usize, new: usize) -> Option<usize> {
        self.check(address, old);
        assert!(new > old);
        if self.is_free(address + old, new - old) {
            self.take(address + old, new - old);
            return Some(address);
        }
        let moved = self.map(new)?;
        // SAFETY: both ranges are mapped and do not overlap.
        unsafe { (moved as *mut u8).copy_from_nonoverlapping(address as *const u8, old) };
        self.unmap(address, old);
        Some(moved)
    }

    fn discard(&self, address: usize, length: usize) {
        self.check(address, length);
        // SAFETY: the pages lie in the arena.
        unsafe { (address as *mut u8).write_bytes(0, length) };
    }

    fn fault(&self, message: &str) -> ! {
        panic!("{message}")
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(usize),
    Zeroed(usize),
    Aligned(usize, u32),
    Resize(usize, usize),
    Free(usize),
    Drain,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..200usize, 8 => 0..5000usize, 3 => 0..70_000usize, 2 => 0..600_000usize, 1 => 0..2_000_000usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => size().prop_map(Step::Allocate),
        2 => size().prop_map(Step::Zeroed),
        2 => (size(), 0..23u32).prop_map(|(size, align)| Step::Aligned(size, align)),
        4 => (any::<usize>(), size()).prop_map(|(which, size)| Step::Resize(which, size)),
        8 => any::<usize>().prop_map(Step::Free),
        1 => Just(Step::Drain),
    ]
}

/// A block in use: all its bytes are `mark`.
struct Live {
    block: NonNull<u8>,
    size: usize,
    mark: u8,
}

impl Live {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the heap returned the block, which has `size` bytes and is in use.
        unsafe { slice::from_raw_parts(self.block.as_ptr(), self.size) }
    }

    fn check(&self) {
        assert!(self.bytes().iter().all(|byte| *byte == self.mark), "contents are kept");
    }
}

/// The heap, the caches of three threads, and the blocks in use.
struct World<'a> {
    heap: Heap<&'a Arena>,
    caches: [Cache; 3],
    live: Vec<Live>,
    turn: usize,
}

impl World<'_> {
    fn step(&mut self, step: Step) {
        self.turn += 1;
        let cache = &mut self.caches[self.turn % 3];
        match step {
            Step::Allocate(size) => {
                let block = self.heap.allocate(cache, size);
                self.add(block, size, 1);
            }
            Step::Zeroed(size) => {
                let block = self.heap.allocate_zeroed(cache, size).expect("memory");
                Live { block, size, mark: 0 }.check();
                self.add(Some(block), size, 1);
            }
            Step::Aligned(size, align) => {
                let block = self.heap.allocate_aligned(cache, size, 1 << align);
                self.add(block, size, 1 << align);
            }
            Step::Resize(which, size) if !self.live.is_empty() => {
                let mut old = self.live.swap_remove(which % self.live.len());
                // SAFETY: the block came from this heap, and only its new address is used from here on.
                let block = unsafe { self.heap.resize(cache, old.block, size) }.expect("memory");
                (old.block, old.size) = (block, old.size.min(size));
                old.check();
                self.add(Some(block), size, 1);
            }
            Step::Free(which) if !self.live.is_empty() => {
                let old = self.live.swap_remove(which % self.live.len());
                old.check();
                // SAFETY: the block came from this heap, and was removed from those in use.
                unsafe { self.heap.free(cache, old.block) };
            }
            Step::Drain => self.heap.drain(cache),
            _ => {}
        }
    }

    fn add(&mut self, block: Option<NonNull<u8>>, size: usize, align: usize) {
        let block = block.expect("memory");
        assert!((block.as_ptr() as usize).is_multiple_of(align.max(16)));
        // SAFETY: the block is in use.
        let usable = unsafe { self.heap.usable(block) };
        assert!(usable >= size);
        let live = Live { block, size: usable, mark: self.turn as u8 };
        // SAFETY: the heap returned the block, which has `usable` bytes.
        unsafe { block.write_bytes(live.mark, usable) };
        self.live.push(live);
    }

    fn check(&self) {
        self.live.iter().for_each(Live::check);
        let places: BTreeMap<_, _> = self.live.iter().map(|live| (live.block, live.size)).collect();
        let ends = places.iter().map(|(block, size)| block.as_ptr() as usize + size);
        let starts = places.keys().skip(1).map(|block| block.as_ptr() as usize);
        assert!(places.len() == self.live.len() && ends.zip(starts).all(|(end, start)| end <= start), "no overlap");
    }

    fn end(mut self) {
        while !self.live.is_empty() {
            self.step(Step::Free(self.turn * 7));
        }
        self.caches.iter_mut().for_each(|cache| self.heap.drain(cache));
        self.heap.give_memory_back();
    }
}

fn world(arena: &Arena) -> World<'_> {
    World { heap: Heap::new(arena), caches: [Cache::EMPTY; 3], live: Vec::new(), turn: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn blocks_are_apart_aligned_and_keep_their_contents(steps in prop::collection::vec(step(), 1..150)) {
        let arena = Arena::new();
        let mut world = world(&arena);
        for step in steps {
            // The arena's size is limited.
            if world.live.iter().map(|live| live.size).sum::<usize>() > ARENA / 4 {
                world.step(Step::Free(world.turn));
            }
            world.step(step);
            if world.turn.is_multiple_of(16) {
                world.check();
            }
        }
        world.check();
        world.end();
        prop_assert!(arena.mapped() <= 2 * 256, "{} pages stay", arena.mapped());
    }
}

#[test]
fn many_small_blocks_come_and_go_in_any_order() {
    let arena = Arena::new();
    let mut world = world(&arena);
    for round in 0..4 {
        for index in 0..20_000 {
            world.step(Step::Allocate(16 + index * 37 % 400));
        }
        world.check();
        for index in 0..15_000 {
            world.step(Step::Free(index * (round + 1) * 7919));
        }
    }
    world.check();
    world.end();
    assert!(arena.mapped() <= 2 * 256, "{} pages stay", arena.mapped());
}

#[test]
fn memory_of_one_size_serves_another() {
    let arena = Arena::new();
    let mut world = world(&arena);
    for size in [64, 80, 1000, 5000, 30_000, 200_000, 900_000, 48] {
        (0..(30 << 20) / (size + 4096)).for_each(|_| world.step(Step::Allocate(size)));
        world.check();
        while !world.live.is_empty() {
            world.step(Step::Free(world.turn));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_rest_goes_on() {
    let arena = Arena::new();
    let mut world = world(&arena);
    let cache = &mut world.caches[0];
    for size in [ARENA, isize::MAX as usize, usize::MAX - 4096, usize::MAX] {
        assert!(world.heap.allocate(cache, size).is_none());
        assert!(world.heap.allocate_zeroed(cache, size).is_none());
        assert!(world.heap.allocate_aligned(cache, size, 64).is_none());
        assert!(world.heap.allocate_aligned(cache, size, 1 << 20).is_none());
    }
    assert!(world.heap.allocate_aligned(cache, 16, 1 << 60).is_none());
    let mut count = 0;
    while let Some(block) = world.heap.allocate(&mut world.caches[0], 3000) {
        world.add(Some(block), 3000, 1);
        count += 1;
    }
    assert!(count * 3072 > ARENA / 2);
    let block = world.live[0].block;
    // SAFETY: the block is in use, and remains so because the resize fails.
    assert!(unsafe { world.heap.resize(&mut world.caches[0], block, ARENA) }.is_none());
    world.check();
    world.end();
}

#[test]
fn a_block_that_grows_is_not_copied_once_it_has_a_mapping_that_is_long_enough() {
    let arena = Arena::new();
    let mut world = world(&arena);
    world.step(Step::Allocate(4 << 20));
    world.step(Step::Free(0));
    world.step(Step::Allocate(1000));
    let places: Vec<_> = (10..22)
        .map(|log| {
            world.step(Step::Resize(0, 1 << log));
            world.live[0].block
        })
        .collect();
    assert!(places[5..].iter().all(|place| *place == places[5]), "{places:?}");
}

#[test]
fn blocks_that_stop_growing_hold_no_more_mappings_than_may_wait() {
    let arena = Arena::new();
    let mut world = world(&arena);
    for _ in 0..24 {
        world.step(Step::Allocate(2 << 20));
        world.step(Step::Free(world.live.len() - 1));
        world.step(Step::Allocate(1000));
        let last = world.live.len() - 1;
        let old = world.live.swap_remove(last);
        // SAFETY: the block is in use.
        let grown = unsafe { world.heap.resize(&mut world.caches[0], old.block, 40_000) };
        world.add(grown, 40_000, 1);
    }
    assert!(arena.mapped() * PAGE < 20 << 20, "{} pages for a megabyte", arena.mapped());
    world.end();
}

fn freed_twice(sizes: &[usize], order: &[usize]) {
    let arena = Arena::new();
    let mut world = world(&arena);
    // Fills the starter's page.
    (0..100).for_each(|_| world.step(Step::Allocate(100)));
    let cache = &mut world.caches[0];
    let blocks: Vec<_> = sizes.iter().filter_map(|size| world.heap.allocate(cache, *size)).collect();
    for index in order {
        // SAFETY: violated on purpose; the heap detects it.
        unsafe { world.heap.free(cache, blocks[*index]) };
    }
}

#[test]
#[should_panic(expected = "freed twice")]
fn a_small_block_that_is_freed_twice_in_a_row_is_noticed() {
    freed_twice(&[64], &[0, 0]);
}

#[test]
#[should_panic(expected = "not a block")]
fn a_run_that_is_freed_twice_is_noticed() {
    freed_twice(&[40_000, 64], &[0, 1, 0]);
}
