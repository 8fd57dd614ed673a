//! Shared state of all threads, behind one lock: the regions, the spans of each class, and batches of free blocks that threads
//! leave for each other.

#![expect(unsafe_code, reason = "spans lie in raw memory")]

use crate::block::Chain;
use crate::class::{COUNT, span_pages};
use crate::classes::{Class, Classes};
use crate::large::Spares;
use crate::pages::Pages;
use crate::region::{Kind, Region};
use crate::regions::{Place, Regions};
use crate::span::Span;
use crate::starter::Starter;
use core::ptr::NonNull;

/// Shared state of all threads.
pub struct Central {
    pub(crate) regions: Regions,
    starter: Option<Starter>,
    pub(crate) spares: Spares,
    classes: Classes,
}

// SAFETY: the blocks and spans are bound to no thread.
unsafe impl Send for Central {}

impl Central {
    /// A state without memory.
    pub const EMPTY: Self =
        Self { regions: Regions::EMPTY, starter: None, spares: Spares::EMPTY, classes: Classes::EMPTY };

    /// Takes a block of at least `size` bytes from the first region's first page.
    pub fn start(&mut self, pages: &impl Pages, size: usize) -> Option<NonNull<u8>> {
        if self.starter.is_none() {
            let (start, end) = self.regions.first(pages)?.spare();
            // SAFETY: `first` returned a new region, and only this function takes its spare bytes, once.
            self.starter = Some(unsafe { Starter::new(start, end) });
        }
        self.starter.as_mut()?.take(size)
    }

    /// Takes about `count` blocks of a class, at least one.
    pub fn take(&mut self, pages: &impl Pages, class: usize, count: usize) -> Option<Chain> {
        if self.classes.is_closed() {
            let place = self.regions.take(pages, 1)?;
            // SAFETY: `take` gave the page to this function, which gives it up for good.
            unsafe { self.classes.open(place.address()) };
        }
        let entry = self.classes.get(class)?;
        if let Some(blocks) = entry.batch() {
            return Some(blocks);
        }
        let span = match entry.spans {
            Some(span) => span,
            None => self.add(pages, class)?,
        };
        let blocks = span_of(span).take(count);
        if span_of(span).is_full() {
            self.unlink(span);
        }
        (blocks.count() > 0).then_some(blocks)
    }

    /// Takes back blocks of a class; false if one of them is invalid.
    ///
    /// # Safety
    ///
    /// The blocks are used no more.
    pub unsafe fn give(&mut self, pages: &impl Pages, class: usize, blocks: Chain) -> bool {
        let Some(entry) = self.classes.get(class) else { return false };
        // SAFETY: the caller guarantees that the blocks are used no more.
        entry.keep(blocks).is_none_or(|blocks| unsafe { self.give_each(pages, blocks) })
    }

    /// # Safety
    ///
    /// The blocks are used no more.
    unsafe fn give_each(&mut self, pages: &impl Pages, mut blocks: Chain) -> bool {
        while let Some(block) = blocks.pop() {
            // SAFETY: the caller guarantees that the blocks are used no more.
            if !unsafe { self.give_one(pages, block) } {
                return false;
            }
        }
        true
    }

    /// # Safety
    ///
    /// The block is used no more.
    unsafe fn give_one(&mut self, pages: &impl Pages, block: NonNull<u8>) -> bool {
        // SAFETY: `Heap::free` found the block's region before it cached the block, so the region can be read.
        let Some(region) = (unsafe { Region::of(block) }) else { return false };
        // SAFETY: a `Central` is reached only with the heap's lock held, and the reference ends with this statement.
        let first = unsafe { region.pages() }.firsts[Region::page_of(block)].into();
        let span = region.span(first);
        let was_full = span_of(span).is_full();
        // SAFETY: the block lies in one of the span's pages, and the caller gives it up.
        if !unsafe { span_of(span).give(block) } {
            return false;
        }
        if was_full {
            self.link(span);
        }
        let is_only = span_of(span).next.is_none() && span_of(span).previous.is_none();
        if span_of(span).is_unused() && !is_only {
            self.remove(pages, span);
        }
        true
    }

    /// Frees the pages of an unused span.
    fn remove(&mut self, pages: &impl Pages, span: NonNull<Span>) {
        let (region, first) = Region::of_span(span);
        self.unlink(span);
        let range = first..first + span_pages(span_of(span).class());
        range.clone().for_each(|page| region.set_kind(page, Kind::Nothing));
        self.regions.give(pages, region, range);
    }

    /// Releases the memory that is kept for reuse.
    pub fn give_memory_back(&mut self, pages: &impl Pages) {
        self.spares.empty(pages);
        for class in 0..COUNT {
            while let Some(blocks) = self.classes.get(class).and_then(Class::batch) {
                // SAFETY: blocks in a batch are free.
                unsafe { self.give_each(pages, blocks) };
            }
            let mut next = self.classes.get(class).and_then(|entry| entry.spans);
            while let Some(span) = next {
                next = span_of(span).next;
                if span_of(span).is_unused() {
                    self.remove(pages, span);
                }
            }
        }
        self.regions.give_memory_back(pages);
    }

    fn add(&mut self, pages: &impl Pages, class: usize) -> Option<NonNull<Span>> {
        let count = span_pages(class);
        let place = self.regions.take(pages, count)?;
        let span = place.region.span(place.first);
        // SAFETY: `take` gave the pages to this function, and with them the span that describes them.
        unsafe { span.write(Span::new(place.address(), class)) };
        let range = place.first..place.first + count;
        range.clone().for_each(|page| place.region.set_kind(page, Kind::Class(class)));
        // SAFETY: a `Central` is reached only with the heap's lock held, and the reference ends with this statement.
        unsafe { place.region.pages() }.firsts[range].fill(place.first as u8);
        self.link(span);
        Some(span)
    }

    /// Takes a run of pages for a block.
    pub fn take_run(&mut self, pages: &impl Pages, count: usize) -> Option<Place> {
        let place = self.regions.take(pages, count)?;
        place.region.set_kind(place.first, Kind::Run(count));
        Some(place)
    }

    /// Takes a run of pages for a block that has just grown, preferably where it can grow further without a move.
    pub fn take_growing_run(&mut self, pages: &impl Pages, count: usize) -> Option<Place> {
        let place = self.regions.take_growing(pages, count)?;
        place.region.set_kind(place.first, Kind::Run(count));
        Some(place)
    }

    /// Frees a run.
    pub fn give_run(&mut self, pages: &impl Pages, region: Region, first: usize, count: usize) {
        region.set_kind(first, Kind::Nothing);
        self.regions.give(pages, region, first..first + count);
    }

    /// Changes the length of a run in place, if there is room.
    pub fn resize_run(&mut self, pages: &impl Pages, region: Region, first: usize, old: usize, new: usize) -> bool {
        if new > old && !self.regions.extend(region, first, old, new - old) {
            return false;
        }
        if new < old {
            self.regions.give(pages, region, first + new..first + old);
        }
        region.set_kind(first, Kind::Run(new));
        true
    }

    fn link(&mut self, span: NonNull<Span>) {
        let Some(entry) = self.classes.get(span_of(span).class()) else { return };
        let first = entry.spans.replace(span);
        if let Some(first) = first {
            span_of(first).previous = Some(span);
        }
        let span = span_of(span);
        (span.next, span.previous) = (first, None);
    }

    fn unlink(&mut self, span: NonNull<Span>) {
        let (next, previous) = (span_of(span).next.take(), span_of(span).previous.take());
        if let Some(next) = next {
            span_of(next).previous = previous;
        }
        match previous {
            Some(previous) => span_of(previous).next = next,
            None => {
                if let Some(entry) = self.classes.get(span_of(span).class()) {
                    entry.spans = next;
                }
            }
        }
    }
}

/// Returns a short-lived reference to a span.
fn span_of<'s>(span: NonNull<Span>) -> &'s mut Span {
    // SAFETY: a `Central` is reached only with the heap's lock held; no function here keeps such a reference while it makes
    // another to the same span.
    unsafe { &mut *span.as_ptr() }
}
