//! The heap: blocks of all sizes, over any source of pages.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use crate::bytes;
use crate::cache::Cache;
use crate::central::Central;
use crate::class::{self, COUNT, LARGEST, STEP, class};
use crate::large::Mapping;
use crate::lock::Lock;
use crate::pages::{PAGE, Pages};
use crate::region::{Kind, LONGEST_RUN, REGION, Region};
use crate::span::OF_LARGE;
use crate::starter;
use core::ptr::NonNull;

/// Largest block in a region, in bytes.
const LARGEST_RUN: usize = LONGEST_RUN * PAGE;

/// Size in bytes from which a growing block gets a run of pages, which can be extended, although there is a class for the size.
const GROWING: usize = 2 * PAGE;

/// Size in bytes from which a growing block gets a spare mapping, if there is one: it may well become large, and is still cheap
/// to copy.
const PROMISING: usize = 8 * PAGE;

const DOUBLE_FREE: &str = "malloc: a block was freed twice\n";
const NOT_A_BLOCK: &str = "malloc: what was given back is not a block of the heap, or was given back before\n";

/// Heap over a source of pages.
pub struct Heap<P> {
    pages: P,
    central: Lock<Central>,
}

/// Kind of a block.
enum Block {
    Starter(usize),
    Class(usize),
    Run(Region, usize),
    Large(Mapping),
}

impl Block {
    /// Returns the bytes in the block.
    fn usable(&self) -> usize {
        match self {
            Self::Starter(size) => *size,
            Self::Class(class) => class::block(*class),
            Self::Run(_, count) => count * PAGE,
            Self::Large(mapping) => mapping.usable(),
        }
    }
}

impl<P: Pages> Heap<P> {
    /// Returns a heap without memory.
    pub const fn new(pages: P) -> Self {
        Self { pages, central: Lock::new(Central::EMPTY) }
    }

    /// Allocates a block of at least `size` bytes.
    #[inline(always)]
    pub fn allocate(&self, cache: &mut Cache, size: usize) -> Option<NonNull<u8>> {
        match cache.take(class(size)) {
            Some(block) => Some(block),
            None => self.allocate_slowly(cache, size),
        }
    }

    #[inline(never)]
    fn allocate_slowly(&self, cache: &mut Cache, size: usize) -> Option<NonNull<u8>> {
        if size <= LARGEST { self.refill(cache, size) } else { self.allocate_pages(size).map(|(block, _)| block) }
    }

    /// Allocates a block of at least `size` bytes; they are zero.
    pub fn allocate_zeroed(&self, cache: &mut Cache, size: usize) -> Option<NonNull<u8>> {
        let (block, is_dirty) =
            if size <= LARGEST { (self.allocate(cache, size)?, true) } else { self.allocate_pages(size)? };
        if is_dirty {
            // SAFETY: the block was allocated here just now, and is a multiple of 16 bytes long.
            unsafe { bytes::zero(block, size) };
        }
        Some(block)
    }

    /// Allocates a block of at least `size` bytes, aligned to `align`, a power of two.
    pub fn allocate_aligned(&self, cache: &mut Cache, size: usize, align: usize) -> Option<NonNull<u8>> {
        if align <= STEP {
            return self.allocate(cache, size);
        }
        if align > PAGE || size > LARGEST_RUN {
            if size > isize::MAX as usize {
                return None;
            }
            let mapping = Mapping::aligned(&self.pages, size, align.max(REGION))?;
            // SAFETY: `aligned` made the mapping just now, for this block.
            return unsafe { mapping.block() };
        }
        // Spans start at a page boundary, so the blocks of a class are aligned to every power of two that divides their size.
        match (class(size.max(align))..COUNT).find(|class| class::block(*class).is_multiple_of(align)) {
            Some(class) => {
                let block = cache.take(class).or_else(|| self.refill_class(cache, class))?;
                Some(block)
            }
            None => self.allocate_pages(size).map(|(block, _)| block),
        }
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// `block` came from this heap and is used no more.
    #[inline(always)]
    pub unsafe fn free(&self, cache: &mut Cache, block: NonNull<u8>) {
        let page = Region::page_of(block);
        let is_in_region = page != 0 && block.as_ptr() as usize % PAGE != OF_LARGE;
        // SAFETY: a block that has neither the offset of large ones nor lies in a first page is in a region, which can be read.
        if let Some(region) = is_in_region.then(|| unsafe { Region::of(block) }).flatten()
            && let class = region.class(page)
            && let Some((chain, limit)) = cache.class(class)
        {
            if chain.starts_with(block) {
                self.pages.fault(DOUBLE_FREE);
            }
            // SAFETY: the caller gives the block up, and a block of a class has room for a link.
            unsafe { chain.push(block) };
            if chain.count() > limit {
                self.relieve(cache, class);
            }
            return;
        }
        // SAFETY: the caller guarantees that the block came from this heap and is used no more.
        unsafe { self.free_slowly(block) };
    }

    #[inline(never)]
    unsafe fn free_slowly(&self, block: NonNull<u8>) {
        // SAFETY: the caller guarantees that the block came from this heap.
        match unsafe { self.look_up(block) } {
            Block::Large(mapping) => self.central.lock().spares.put(&self.pages, mapping),
            Block::Run(region, count) => {
                let first = Region::page_of(block);
                self.central.lock().give_run(&self.pages, region, first, count);
            }
            Block::Starter(_) | Block::Class(_) => {}
        }
    }

    /// Returns the bytes in a block.
    ///
    /// # Safety
    ///
    /// `block` came from this heap.
    pub unsafe fn usable(&self, block: NonNull<u8>) -> usize {
        // SAFETY: the caller guarantees that the block came from this heap.
        unsafe { self.look_up(block) }.usable()
    }

    /// Changes the size of a block, which may move; without memory, the block stays unchanged.
    ///
    /// # Safety
    ///
    /// `block` came from this heap, and is used no more if it moves.
    pub unsafe fn resize(&self, cache: &mut Cache, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller guarantees that the block came from this heap.
        let kind = unsafe { self.look_up(block) };
        let usable = kind.usable();
        if size <= usable && size >= usable / 2 {
            return Some(block);
        }
        let is_promising = size > usable && size >= PROMISING;
        let spare = if is_promising { self.central.lock().spares.take_growing(size) } else { None };
        let moved = match spare {
            // SAFETY: `take_growing` gave the spare to this function.
            Some(spare) => unsafe { spare.block() }?,
            None => {
                if let Some(resized) = self.resize_in_place(block, kind, size) {
                    return Some(resized);
                }
                self.allocate_elsewhere(cache, size, size > usable)?
            }
        };
        // SAFETY: the caller owns `block`, this function `moved`; the copy of up to 8 bytes more stays inside both.
        unsafe { bytes::copy(block, moved, size.min(usable)) };
        // SAFETY: the caller guarantees that the block came from this heap and is used no more if it moves.
        unsafe { self.free(cache, block) };
        Some(moved)
    }

    /// Resizes a block without a copy. Returns its address; `None` if it must be copied.
    fn resize_in_place(&self, block: NonNull<u8>, kind: Block, size: usize) -> Option<NonNull<u8>> {
        match kind {
            Block::Run(region, old) if (GROWING..=LARGEST_RUN).contains(&size) => {
                let first = Region::page_of(block);
                let done = self.central.lock().resize_run(&self.pages, region, first, old, size.div_ceil(PAGE));
                done.then_some(block)
            }
            Block::Large(mapping) if size > LARGEST_RUN || size > mapping.needed() => {
                let resized = mapping.resize(&self.pages, size)?;
                self.central.lock().spares.resized(mapping, resized);
                // SAFETY: the mapping belongs to the block that is resized.
                unsafe { resized.block() }
            }
            _ => None,
        }
    }

    /// Allocates the new block for one that changes its size.
    fn allocate_elsewhere(&self, cache: &mut Cache, size: usize, is_longer: bool) -> Option<NonNull<u8>> {
        if !is_longer || !(GROWING..=LARGEST_RUN).contains(&size) {
            return self.allocate(cache, size);
        }
        let place = self.or_spare(|central| central.take_growing_run(&self.pages, size.div_ceil(PAGE)))?;
        NonNull::new(place.address() as *mut u8)
    }

    /// Takes back all blocks of a cache.
    pub fn drain(&self, cache: &mut Cache) {
        for class in 0..COUNT {
            if let Some((chain, _)) = cache.class(class)
                && chain.count() > 0
            {
                let blocks = chain.split(0);
                // SAFETY: the blocks in a cache are free.
                unsafe { self.give(class, blocks) };
            }
        }
    }

    /// Releases all memory that is kept for reuse.
    pub fn give_memory_back(&self) {
        self.central.lock().give_memory_back(&self.pages);
    }

    /// Returns the kind of a block; ends the program if the address is no block.
    unsafe fn look_up(&self, block: NonNull<u8>) -> Block {
        let (address, page) = (block.as_ptr() as usize, Region::page_of(block));
        if address.is_multiple_of(REGION) || address % PAGE == OF_LARGE {
            // SAFETY: only large blocks have such an address, and their header lies before it.
            return match unsafe { Mapping::of(block) } {
                Some(mapping) => Block::Large(mapping),
                None => self.pages.fault(NOT_A_BLOCK),
            };
        }
        // SAFETY: a block with any other address is in a region, which can be read.
        match unsafe { Region::of(block) }.map(|region| (region, region.kind(page))) {
            // SAFETY: only blocks of the starter lie in a first page.
            Some(_) if page == 0 => Block::Starter(unsafe { starter::size(block) }),
            Some((_, Kind::Class(class))) => Block::Class(class),
            Some((region, Kind::Run(count))) if address.is_multiple_of(PAGE) => Block::Run(region, count),
            _ => self.pages.fault(NOT_A_BLOCK),
        }
    }

    #[inline(never)]
    fn refill(&self, cache: &mut Cache, size: usize) -> Option<NonNull<u8>> {
        let first = self.central.lock().start(&self.pages, size);
        first.or_else(|| self.refill_class(cache, class(size)))
    }

    fn refill_class(&self, cache: &mut Cache, class: usize) -> Option<NonNull<u8>> {
        let count = cache.grow(class);
        let blocks = self.or_spare(|central| central.take(&self.pages, class, count))?;
        cache.fill(class, blocks)
    }

    /// Allocates whole pages. Returns the block, and true if it may hold bytes other than zero.
    fn allocate_pages(&self, size: usize) -> Option<(NonNull<u8>, bool)> {
        if size <= LARGEST_RUN {
            let place = self.or_spare(|central| central.take_run(&self.pages, size.div_ceil(PAGE)))?;
            return Some((NonNull::new(place.address() as *mut u8)?, place.is_dirty));
        }
        // Distances in a block must fit a signed number.
        if size > isize::MAX as usize {
            return None;
        }
        let spare = self.central.lock().spares.take(size);
        let mapping = match spare {
            Some(spare) => spare,
            None => Mapping::new(&self.pages, size).or_else(|| {
                self.central.lock().give_memory_back(&self.pages);
                Mapping::new(&self.pages, size)
            })?,
        };
        // SAFETY: the mapping was taken or made for this block.
        Some((unsafe { mapping.block() }?, spare.is_some()))
    }

    /// Calls `act`; if that fails, releases the memory kept for reuse and calls it again.
    fn or_spare<T>(&self, mut act: impl FnMut(&mut Central) -> Option<T>) -> Option<T> {
        let mut central = self.central.lock();
        let done = act(&mut central);
        if done.is_none() {
            central.give_memory_back(&self.pages);
            return act(&mut central);
        }
        done
    }

    /// Handles a class above its limit: raises the limit, or at its maximum returns half of the blocks to the shared pool.
    #[inline(never)]
    fn relieve(&self, cache: &mut Cache, class: usize) {
        let keep = class::keep(class);
        match cache.class(class) {
            Some((chain, limit)) if limit == keep => {
                let blocks = chain.split(keep / 2);
                // SAFETY: the blocks in a cache are free.
                unsafe { self.give(class, blocks) };
            }
            _ => {
                cache.grow(class);
            }
        }
    }

    unsafe fn give(&self, class: usize, blocks: crate::block::Chain) {
        // SAFETY: the caller guarantees that the blocks are free.
        if !unsafe { self.central.lock().give(&self.pages, class, blocks) } {
            self.pages.fault(NOT_A_BLOCK);
        }
    }
}
