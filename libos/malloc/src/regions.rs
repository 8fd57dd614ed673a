//! All regions, and which of their pages are free.
//!
//! A region is in the list of its longest run of free pages, rounded down to a power of two: so one that is long enough
//! is found without a search. Pages that become free stay in place until many have; then their memory goes back.

#![expect(unsafe_code, reason = "tables of regions are raw memory")]

use crate::bits::{Bits, COUNT};
use crate::pages::{PAGE, Pages, map_aligned};
use crate::region::{Kind, REGION, Region, TABLES};
use core::ops::Range;

/// So many free pages may hold memory, and one for each four that are in use.
const SLACK: usize = 1024;
/// The shortest run of pages that is worth a system call.
const WORTHWHILE: usize = 16;
/// A block that has grown once is expected to become so many times as long.
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
        let first = tables(region).free.runs().find(|run| run.len() >= count)?.start;
        Some(self.occupy(region, first..first + count))
    }

    /// The same where as many more are free right behind, if there is such a place, as a block wants that grows.
    pub fn take_growing(&mut self, pages: &impl Pages, count: usize) -> Option<Place> {
        let wanted = (count * ROOM).min(COUNT / 2);
        let roomy = self.find(wanted).and_then(|region| {
            let run = tables(region).free.runs().find(|run| run.len() >= wanted)?;
            Some((region, run.start))
        });
        match roomy {
            Some((region, first)) => Some(self.occupy(region, first..first + count)),
            None => self.take(pages, count),
        }
    }

    /// Takes `more` pages right behind the first `count` from `first` on, if they are free.
    pub fn extend(&mut self, region: Region, first: usize, count: usize, more: usize) -> bool {
        let end = first + count;
        let free = tables(region).free.run(end);
        if free.start != end || free.len() < more {
            return false;
        }
        self.occupy(region, end..end + more);
        tables(region).firsts[end..end + more].fill(first as u8);
        true
    }

    /// Takes back pages.
    pub fn give(&mut self, pages: &impl Pages, region: Region, range: Range<usize>) {
        range.clone().for_each(|page| region.set_kind(page, Kind::Nothing));
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

    fn occupy(&mut self, region: Region, range: Range<usize>) -> Place {
        let tables = tables(region);
        let dirty = tables.dirty.count(range.clone());
        self.used += range.len();
        self.dirty -= dirty;
        self.left = self.left.min(self.dirty);
        tables.free.fill(range.clone(), false);
        tables.dirty.fill(range.clone(), true);
        tables.firsts[range.clone()].fill(range.start as u8);
        self.sort(region);
        Place { region, first: range.start, is_dirty: dirty != 0 }
    }

    /// Puts a region into the list where it belongs.
    fn sort(&mut self, region: Region) {
        let list = longest(&tables(region).free).checked_ilog2().map_or(0, |list| list as usize + 1);
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

fn longest(free: &Bits) -> usize {
    free.runs().map(|run| run.len()).max().unwrap_or(0)
}

/// The tables of a region's pages, for the moment.
fn tables<'r>(region: Region) -> &'r mut crate::region::PageTables {
    // SAFETY: `Regions` belongs to who has the heap's lock; nothing here keeps such a reference while it makes another
    // to the same region.
    unsafe { region.pages() }
}
