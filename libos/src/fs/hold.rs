//! Moves of a file's pages into its window: see [`super::shared`].

use super::data::{Data, PAGE, Run, SEGMENT, Shown};
use super::quota::Quota;
use super::shared::Shared;
use super::steps::Steps;
use crate::errno::Errno;
use crate::memory::window::Window;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::memory::{Region, Rights};

/// Least length of a window of a file that may grow, in bytes.
const LEAST: u64 = 4 << 20;
/// Addresses per byte of a file that may grow, and the most that it gets beyond what it needs.
const GROWTH: u64 = 8;
const GROWTH_MOST: u64 = 1 << 30;
const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

/// Gives a window more addresses: as many as the first of `lengths`, or else the last. Returns a new window where there is no room
/// behind this one, if that may be.
fn larger_window(window: &mut Window, lengths: [u64; 2], may_move: bool) -> Result<Option<Window>, Errno> {
    if lengths.iter().any(|length| window.extend(*length).is_ok()) {
        return Ok(None);
    }
    if may_move { Window::reserve(lengths).map(Some) } else { Err(Errno::ENOMEM) }
}

impl Data {
    /// Moves these pages of the file into its window, and returns where that is. Without a window, one is made; one that is too
    /// small grows, or moves if it may. ENOMEM if there is no room: then all is where it was.
    pub fn hold(
        &mut self,
        quota: &mut Quota,
        pages: Range<u64>,
        may_move: bool,
        may_grow: bool,
    ) -> Result<Region, Errno> {
        let needed = pages.end.checked_mul(PAGE).ok_or(Errno::ENOMEM)?;
        let wanted = if may_grow { self.room_to_grow() } else { self.size().next_multiple_of(PAGE) };
        let lengths = [wanted.max(needed), needed];
        let mut shared = match core::mem::take(&mut self.shown) {
            Shown::Window(shared) => shared,
            _ => Box::new(Shared::new(Window::reserve(lengths)?)),
        };
        let held = self.hold_in(quota, &mut shared, pages, lengths, may_move);
        let place = shared.window.place();
        self.shown = Shown::Window(shared);
        held.map(|()| place)
    }

    /// Moves pages into a window, which gets one of `lengths` if it is too small. All that may fail comes first: a window that has
    /// moved, under mappings that the program uses, cannot go back.
    fn hold_in(
        &mut self,
        quota: &mut Quota,
        shared: &mut Shared,
        pages: Range<u64>,
        lengths: [u64; 2],
        may_move: bool,
    ) -> Result<(), Errno> {
        let larger = shared.window.place().length < pages.end * PAGE;
        let new = if larger { larger_window(&mut shared.window, lengths, may_move)? } else { None };
        let apart = |held: &Steps, each: &mut dyn FnMut(Range<u64>)| {
            held.runs(pages.clone()).filter(|(_, held)| *held == 0).for_each(|(run, _)| each(run));
        };
        let (mut full, mut fresh) = (0, 0);
        apart(&shared.held, &mut |run| {
            self.each_run(run.start * PAGE, (run.end * PAGE).min(self.size()), |offset, bytes| {
                let touched = offset / PAGE..(offset + bytes.len() as u64).div_ceil(PAGE);
                full += touched.end - touched.start;
                fresh += touched.filter(|page| !self.has_page(*page)).count() as u64;
            });
        });
        let held = shared.held.changed(pages.clone(), |_| 1)?;
        shared.reserve_bits(pages.end).map_err(|_| Errno::ENOMEM)?;
        let all = 0..self.size().div_ceil(PAGE);
        let moved = || shared.held.runs(all.clone()).filter(|(_, held)| *held > 0).map(|(run, _)| run);
        match &new {
            Some(new) => new.charge(full + moved().map(|run| run.end - run.start).sum::<u64>())?,
            None => shared.window.charge(full)?,
        }
        quota.take(fresh * PAGE).map_err(|_| Errno::ENOMEM)?;
        if let Some(new) = new {
            for run in moved() {
                let (at, length) = (run.start * PAGE, (run.end - run.start) * PAGE);
                new.part(at, length, READ_WRITE).copy_part(shared.window.part(at, length, Rights::READ));
            }
            shared.window = new;
        }
        let before = core::mem::replace(&mut shared.held, held);
        apart(&before, &mut |run| self.move_in(shared, run));
        self.pages += fresh;
        Ok(())
    }

    /// Length of a window for a file that may grow.
    fn room_to_grow(&self) -> u64 {
        self.size().saturating_mul(GROWTH).min(self.size().saturating_add(GROWTH_MOST)).max(LEAST)
    }

    /// Frees addresses of a window without mappings that are far behind the end of the file.
    pub fn trim(&mut self) {
        let length = self.room_to_grow();
        if let Some(shared) = self.window() {
            let charged = shared.charged.iter().rposition(|word| *word != 0).map_or(0, |word| word as u64 + 1);
            let length = length.max(charged * 64 * PAGE);
            let behind = length.div_ceil(PAGE)..shared.window.place().length / PAGE;
            // Without memory for the list, they stay.
            if !behind.is_empty() && shared.held.change(behind, |_| 0).is_ok() {
                shared.window.shrink(length);
            }
        }
    }

    /// Moves the contents of pages, none of which are there yet, into a window.
    fn move_in(&mut self, shared: &mut Shared, pages: Range<u64>) {
        let (start, end) = (pages.start * PAGE, (pages.end * PAGE).min(self.size()));
        self.each_run(start, end, |offset, bytes| {
            shared.window.part(offset, bytes.len() as u64, READ_WRITE).fill(bytes);
            (offset / PAGE..(offset + bytes.len() as u64).div_ceil(PAGE)).for_each(|page| shared.set_charged(page));
        });
        self.drop_pages(pages, |page| shared.set_charged(page));
    }

    /// Calls `each` with all bytes between `start` and `end` that are not in the window, and their offsets.
    fn each_run(&self, start: u64, end: u64, mut each: impl FnMut(u64, &[u8])) {
        let mut offset = start;
        while offset < end {
            offset += match self.run_apart(offset) {
                Run::Bytes(bytes) => {
                    let bytes = bytes.get(..(end - offset) as usize).unwrap_or(bytes);
                    each(offset, bytes);
                    bytes.len() as u64
                }
                Run::Zeros(count) => count,
                Run::Mapped(_) | Run::End => break,
            };
        }
    }

    /// Returns true if a page has memory of the libos.
    fn has_page(&self, page: u64) -> bool {
        let segment = self.find(page / SEGMENT).ok().and_then(|found| self.segments.get(found));
        segment.and_then(|segment| segment.pages.get((page % SEGMENT) as usize)).is_some_and(|page| page.capacity() > 0)
    }

    /// Frees the memory of pages whose contents are elsewhere now, but still counts them; calls `each` for every one.
    fn drop_pages(&mut self, range: Range<u64>, mut each: impl FnMut(u64)) {
        for segment in &mut self.segments {
            let first = segment.index * SEGMENT;
            for (page, held) in (first..).zip(&mut segment.pages) {
                if range.contains(&page) && held.capacity() > 0 {
                    *held = Vec::new();
                    each(page);
                }
            }
        }
        self.segments.retain(|segment| segment.pages.iter().any(|page| page.capacity() > 0));
    }
}
