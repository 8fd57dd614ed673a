//! The list of regions, and their free pages.
//!
//! A region is in the list of its longest run of free pages, rounded down to a power of two: thus a region with a long enough
//! run is found without a search. Freed pages keep their memory until there are many; then the memory goes back to the host.

#![expect(unsafe_code, reason = "tables of regions are raw memory")]

use crate::bits::{Bits, COUNT};
use crate::pages::{PAGE, Pages, map_aligned};
use crate::region::{LONGEST_RUN, REGION, Region, TABLES};
use core::ops::Range;

/// Number of free pages that may keep their memory, besides one for each four in use.
const SLACK: usize = 1024;
/// The shortest run of pages that is worth a system call.
const WORTHWHILE: usize = 16;
/// Least room worth looking for when a block has grown, as a multiple of its length.
const ROOM: usize = 8;
/// Number of lists: for 1 page, 2, 4 and so on.
const LISTS: usize = COUNT.ilog2() as usize;

/// Pages that were taken.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Region of the pages.
    pub region: Region,
    /// Number of the first page.
    pub first: usize,
    /// True if the pages may hold bytes other than zero.
    pub is_dirty: bool,
}

impl Place {
    /// Returns the address of the first page.
    pub fn address(&self) -> usize {
        self.region.address(self.first)
    }
}

/// The regions.
pub struct Regions {
    /// The first region, which is never unmapped.
    first: Option<Region>,
    /// End of the last region.
    end: usize,
    lists: [Option<Region>; LISTS],
    /// Number of pages in use.
    used: usize,
    /// Number of free pages that may hold memory.
    dirty: usize,
    /// Number of those that remained after the last release.
    left: usize,
}

impl Regions {
    /// No regions.
    pub const EMPTY: Self = Self { first: None, end: 0, lists: [None; LISTS], used: 0, dirty: 0, left: 0 };

    /// Returns the first region.
    pub fn first(&mut self, pages: &impl Pages) -> Option<Region> {
        if self.first.is_none() {
            self.first = self.add(pages);
        }
        self.first
    }

    /// Takes `count` pages, which are at most half a region.
    pub fn take(&mut self, pages: &impl Pages, count: usize) -> Option<Place> {
        let region = match self.find(count) {
            Some(region) => region,
            None => self.add(pages)?,
        };
        let run = tables(region).free.runs().find(|run| run.len() >= count)?;
        Some(self.occupy(region, run, count))
    }

    /// Takes `count` pages with many more free ones right behind, if there is such a place, for a block that grows.
    pub fn take_growing(&mut self, pages: &impl Pages, count: usize) -> Option<Place> {
        for wanted in [LONGEST_RUN.max(count * 2), count * ROOM].map(|wanted| wanted.min(COUNT / 2)) {
            let Some(region) = self.find(wanted) else { continue };
            if let Some(run) = tables(region).free.runs().find(|run| run.len() >= wanted) {
                return Some(self.occupy(region, run, count));
            }
        }
        self.take(pages, count)
    }

    /// Takes `more` pages right behind the first `count` from `first` on, if they are free.
    pub fn extend(&mut self, region: Region, first: usize, count: usize, more: usize) -> bool {
        let run = tables(region).free.run(first + count);
        let is_enough = run.start == first + count && run.len() >= more;
        if is_enough {
            self.occupy(region, run, more);
        }
        is_enough
    }

    /// Takes back pages that hold no block any more.
    pub fn give(&mut self, pages: &impl Pages, region: Region, range: Range<usize>) {
        self.used -= range.len();
        self.dirty += range.len();
        tables(region).free.fill(range, true);
        self.sort(region);
        if self.dirty - self.left > SLACK + self.used / 4 {
            self.give_memory_back(pages);
        }
    }

    /// Returns the memory of free pages to the host, where that is worth a system call.
    pub fn give_memory_back(&mut self, pages: &impl Pages) {
        let mut unused = 0;
        for list in (0..LISTS).rev() {
            let mut next = self.lists[list];
            while let Some(region) = next {
                next = tables(region).next;
                let is_unused = tables(region).free.run(TABLES).len() == COUNT - TABLES && self.first != Some(region);
                unused += usize::from(is_unused);
                if is_unused && unused > 1 {
                    self.dirty -= tables(region).dirty.count(TABLES..COUNT);
                    self.unlink(region);
                    pages.discard(region.address(0), REGION);
                    pages.unmap(region.address(0), REGION);
                } else {
                    self.discard(pages, region);
                }
            }
        }
        self.left = self.dirty;
    }

    fn discard(&mut self, pages: &impl Pages, region: Region) {
        let tables = tables(region);
        let both = tables.free.and(&tables.dirty);
        for run in both.runs().filter(|run| run.len() >= WORTHWHILE) {
            pages.discard(region.address(run.start), run.len() * PAGE);
            self.dirty -= run.len();
            tables.dirty.fill(run, false);
        }
    }

    /// Returns a region with a run of `count` free pages.
    fn find(&self, count: usize) -> Option<Region> {
        let enough = count.next_power_of_two().ilog2() as usize;
        let found = self.lists.get(enough..)?.iter().find_map(|list| *list);
        // The list below may have a region with a run that is just long enough.
        found.or_else(|| {
            self.lists.get(count.ilog2() as usize)?.filter(|region| longest(&tables(*region).free) >= count)
        })
    }

    fn add(&mut self, pages: &impl Pages) -> Option<Region> {
        let address = match self.end {
            end @ 1.. if pages.map_at(end, REGION) => end,
            _ => map_aligned(pages, REGION, 0, REGION)?,
        };
        self.end = address + REGION;
        // SAFETY: the pages were mapped for this region just now, zeroed and aligned.
        let region = unsafe { Region::new(address) }?;
        self.sort(region);
        Some(region)
    }

    /// Takes the first `count` pages of a run of free ones.
    fn occupy(&mut self, region: Region, run: Range<usize>, count: usize) -> Place {
        let tables = tables(region);
        let range = run.start..run.start + count;
        let dirty = tables.dirty.count(range.clone());
        self.used += count;
        self.dirty -= dirty;
        self.left = self.left.min(self.dirty);
        tables.free.fill(range.clone(), false);
        tables.dirty.fill(range.clone(), true);
        // A rest of the run that belongs to the same list leaves the region in its list, because no other run is longer.
        if list(run.len()) != list(run.len() - count) {
            self.sort(region);
        }
        Place { region, first: range.start, is_dirty: dirty != 0 }
    }

    /// Moves a region to its list.
    fn sort(&mut self, region: Region) {
        let list = list(longest(&tables(region).free));
        if tables(region).list == list {
            return;
        }
        self.unlink(region);
        let Some(place) = list.checked_sub(1) else { return };
        let first = self.lists[place].replace(region);
        if let Some(first) = first {
            tables(first).previous = Some(region);
        }
        let tables = tables(region);
        (tables.next, tables.previous, tables.list) = (first, None, list);
    }

    fn unlink(&mut self, region: Region) {
        let (next, previous, list) = {
            let tables = tables(region);
            (tables.next.take(), tables.previous.take(), core::mem::take(&mut tables.list))
        };
        if let Some(next) = next {
            tables(next).previous = previous;
        }
        match (previous, list) {
            (Some(previous), _) => tables(previous).next = next,
            (None, 0) => {}
            (None, list) => self.lists[list - 1] = next,
        }
    }
}

/// Returns the number of the list for regions with a longest run of this length, from 1 on; 0 if there is none.
fn list(longest: usize) -> usize {
    longest.checked_ilog2().map_or(0, |list| list as usize + 1)
}

fn longest(free: &Bits) -> usize {
    free.runs().map(|run| run.len()).max().unwrap_or(0)
}

/// Returns the tables of a region's pages.
fn tables<'r>(region: Region) -> &'r mut crate::region::PageTables {
    // SAFETY: a `Regions` is reached only with the heap's lock held; no function here keeps such a reference while it makes
    // another to the same region.
    unsafe { region.pages() }
}
