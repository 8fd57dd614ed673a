//! All regions, and which of their pages are free.
//!
//! A region is in the list of its longest run of free pages, rounded down to a power of two: so one that is long enough
//! is found without a search. Pages that become free stay in place until many have; then their memory goes back.

#![expect(unsafe_code, reason = "tables of regions are raw memory")]

use crate::bits::{Bits, COUNT};
use crate::pages::{PAGE, Pages, map_aligned};
use crate::region::{LONGEST_RUN, REGION, Region, TABLES};
use core::ops::Range;

/// So many free pages may hold memory, and one for each four that are in use.
const SLACK: usize = 1024;
/// The shortest run of pages that is worth a system call.
const WORTHWHILE: usize = 16;
/// So many times its length is the least room worth looking for when a block has grown.
const ROOM: usize = 8;
/// Lists: for 1 page, 2, 4 and so on.
const LISTS: usize = COUNT.ilog2() as usize;

/// Pages that somebody got.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where they lie.
    pub region: Region,
    /// The number of the first.
    pub first: usize,
    /// Whether they may hold something but zeros.
    pub is_dirty: bool,
}

impl Place {
    /// Where they start.
    pub fn address(&self) -> usize {
        self.region.address(self.first)
    }
}

/// The regions.
pub struct Regions {
    /// The first of all, which stays.
    first: Option<Region>,
    /// Where the last one ends.
    end: usize,
    lists: [Option<Region>; LISTS],
    /// How many pages are in use.
    used: usize,
    /// How many free pages may hold memory.
    dirty: usize,
    /// How many of those were left when memory was given back last.
    left: usize,
}

impl Regions {
    /// No regions.
    pub const EMPTY: Self = Self { first: None, end: 0, lists: [None; LISTS], used: 0, dirty: 0, left: 0 };

    /// The first region.
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

    /// The same where many more are free right behind, if there is such a place, as a block wants that grows.
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

    /// Takes back pages, in which there is nothing any more.
    pub fn give(&mut self, pages: &impl Pages, region: Region, range: Range<usize>) {
        self.used -= range.len();
        self.dirty += range.len();
        tables(region).free.fill(range, true);
        self.sort(region);
        if self.dirty - self.left > SLACK + self.used / 4 {
            self.give_memory_back(pages);
        }
    }

    /// Makes the memory of free pages the host's again, as far as it pays.
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

    /// A region with so many free pages side by side.
    fn find(&self, count: usize) -> Option<Region> {
        let enough = count.next_power_of_two().ilog2() as usize;
        let found = self.lists.get(enough..)?.iter().find_map(|list| *list);
        // The list below may have what is just long enough.
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
        // SAFETY: the pages were just mapped for this.
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
        // If what is left of the run belongs into the same list, it matters to no other.
        if list(run.len()) != list(run.len() - count) {
            self.sort(region);
        }
        Place { region, first: range.start, is_dirty: dirty != 0 }
    }

    /// Puts a region into the list where it belongs.
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

/// The number of the list of regions whose longest run of free pages is so long, from 1 on; 0 if there is none.
fn list(longest: usize) -> usize {
    longest.checked_ilog2().map_or(0, |list| list as usize + 1)
}

fn longest(free: &Bits) -> usize {
    free.runs().map(|run| run.len()).max().unwrap_or(0)
}

/// The tables of a region's pages, for the moment.
fn tables<'r>(region: Region) -> &'r mut crate::region::PageTables {
    // SAFETY: `Regions` belongs to who has the heap's lock; nothing here keeps such a reference while it makes another
    // to the same region.
    unsafe { region.pages() }
}
