//! What all threads share, behind one lock: the regions, the spans of each class, and batches of free blocks that
//! threads leave for each other.

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

/// See the file's head.
pub struct Central {
    pub(crate) regions: Regions,
    starter: Option<Starter>,
    pub(crate) spares: Spares,
    classes: Classes,
}

// SAFETY: the blocks and spans are bound to no thread.
unsafe impl Send for Central {}

impl Central {
    /// Nothing is mapped yet.
    pub const EMPTY: Self =
        Self { regions: Regions::EMPTY, starter: None, spares: Spares::EMPTY, classes: Classes::EMPTY };

    /// One block of at least `size` bytes from the first page of all.
    pub fn start(&mut self, pages: &impl Pages, size: usize) -> Option<NonNull<u8>> {
        if self.starter.is_none() {
            let (start, end) = self.regions.first(pages)?.spare();
            // SAFETY: the region is new; nobody else asks for its spare bytes.
            self.starter = Some(unsafe { Starter::new(start, end) });
        }
        self.starter.as_mut()?.take(size)
    }

    /// About `count` blocks of a class, or at least one.
    pub fn take(&mut self, pages: &impl Pages, class: usize, count: usize) -> Option<Chain> {
        if self.classes.is_closed() {
            let place = self.regions.take(pages, 1)?;
            // SAFETY: the page is ours from now on.
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

    /// Takes back blocks of a class; false if one of them is none.
    ///
    /// # Safety
    ///
    /// Nobody uses them any more.
    pub unsafe fn give(&mut self, pages: &impl Pages, class: usize, blocks: Chain) -> bool {
        let Some(entry) = self.classes.get(class) else { return false };
        // SAFETY: the caller's promise.
        entry.keep(blocks).is_none_or(|blocks| unsafe { self.give_each(pages, blocks) })
    }

    /// # Safety
    ///
    /// Nobody uses the blocks any more.
    unsafe fn give_each(&mut self, pages: &impl Pages, mut blocks: Chain) -> bool {
        while let Some(block) = blocks.pop() {
            // SAFETY: the caller's promise.
            if !unsafe { self.give_one(pages, block) } {
                return false;
            }
        }
        true
    }

    /// # Safety
    ///
    /// Nobody uses the block any more.
    unsafe fn give_one(&mut self, pages: &impl Pages, block: NonNull<u8>) -> bool {
        // SAFETY: whoever freed the block found its region.
        let Some(region) = (unsafe { Region::of(block) }) else { return false };
        // SAFETY: we have the lock.
        let first = unsafe { region.pages() }.firsts[Region::page_of(block)].into();
        let span = region.span(first);
        let was_full = span_of(span).is_full();
        // SAFETY: it lies in one of the span's pages.
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

    /// Takes the pages of an unused span.
    fn remove(&mut self, pages: &impl Pages, span: NonNull<Span>) {
        let (region, first) = Region::of_span(span);
        self.unlink(span);
        let range = first..first + span_pages(span_of(span).class());
        range.clone().for_each(|page| region.set_kind(page, Kind::Nothing));
        self.regions.give(pages, region, range);
    }

    /// Gives up what waits to be used again.
    pub fn give_memory_back(&mut self, pages: &impl Pages) {
        self.spares.empty(pages);
        for class in 0..COUNT {
            while let Some(blocks) = self.classes.get(class).and_then(Class::batch) {
                // SAFETY: nobody uses what waits here.
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
        // SAFETY: the place is ours, and so is the span that describes it.
        unsafe { span.write(Span::new(place.address(), class)) };
        let range = place.first..place.first + count;
        range.clone().for_each(|page| place.region.set_kind(page, Kind::Class(class)));
        // SAFETY: we have the lock.
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

    /// The same for a block that has just grown: best where it can go on growing without being moved.
    pub fn take_growing_run(&mut self, pages: &impl Pages, count: usize) -> Option<Place> {
        let place = self.regions.take_growing(pages, count)?;
        place.region.set_kind(place.first, Kind::Run(count));
        Some(place)
    }

    /// Takes back a run.
    pub fn give_run(&mut self, pages: &impl Pages, region: Region, first: usize, count: usize) {
        region.set_kind(first, Kind::Nothing);
        self.regions.give(pages, region, first..first + count);
    }

    /// Changes the length of a run where it is, if there is room.
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

/// A span, for the moment.
fn span_of<'s>(span: NonNull<Span>) -> &'s mut Span {
    // SAFETY: spans belong to who has the lock, thus a `Central`; nothing here keeps such a reference while it makes
    // another to the same span.
    unsafe { &mut *span.as_ptr() }
}
