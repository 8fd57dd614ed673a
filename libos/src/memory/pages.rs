//! State of the pages of the heap region: in use or free, and facts about each.
//!
//! A few bits for every page, 64 pages to a group, stored in the region itself. No function here allocates, so freeing memory
//! cannot fail for want of memory, and the allocator of the libos can build on it. Long ranges are handled 64 pages at a time:
//! a search in a full gigabyte takes about four thousand steps.

use core::ops::Range;

/// Several bit sets over 64 pages.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct PageGroup {
    /// Page is in use.
    pub used: u64,
    /// Page is in use by the libos.
    pub own: u64,
    /// Page has been in use since it was last known to be zero.
    pub written: u64,
    /// Page was mapped as a mere reservation, so much of the mapping may never have been touched.
    pub sparse: u64,
    /// Tender has made the page read-only.
    pub read_only: u64,
    /// Tender has made the page inaccessible.
    pub closed: u64,
}

/// Selects a bit set of a group.
pub type Bit = fn(&mut PageGroup) -> &mut u64;

/// See [`PageGroup::used`].
pub const USED: Bit = |group| &mut group.used;
/// See [`PageGroup::own`].
pub const OWN: Bit = |group| &mut group.own;
/// See [`PageGroup::written`].
pub const WRITTEN: Bit = |group| &mut group.written;
/// See [`PageGroup::sparse`].
pub const SPARSE: Bit = |group| &mut group.sparse;
/// See [`PageGroup::read_only`].
pub const READ_ONLY: Bit = |group| &mut group.read_only;
/// See [`PageGroup::closed`].
pub const CLOSED: Bit = |group| &mut group.closed;

/// The pages, by number from 0.
#[derive(Debug)]
pub struct Pages {
    groups: &'static mut [PageGroup],
    count: usize,
    free: usize,
    /// Number below which every page is in use.
    lowest: usize,
}

/// Pages in a group.
const PER_GROUP: usize = u64::BITS as usize;

impl Pages {
    /// Returns a table without pages.
    pub const fn empty() -> Self {
        Self { groups: &mut [], count: 0, free: 0, lowest: 0 }
    }

    /// Blocks needed for `count` pages.
    pub const fn groups(count: usize) -> usize {
        count.div_ceil(PER_GROUP)
    }

    /// Returns a table of `count` pages, all free; `groups` must be zero and enough.
    pub fn new(groups: &'static mut [PageGroup], count: usize) -> Self {
        let count = count.min(groups.len() * PER_GROUP);
        Self { groups, count, free: count, lowest: 0 }
    }

    /// Number of pages.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of free pages.
    pub fn free(&self) -> usize {
        self.free
    }

    /// The first run of `count` free pages for which `condition` holds.
    pub fn find(&self, count: usize, condition: fn(&PageGroup) -> u64) -> Option<Range<usize>> {
        let suits = |group: &PageGroup| !group.used & condition(group);
        let mut start = self.lowest;
        loop {
            start = self.search(start..self.count, suits);
            let limit = start.checked_add(count).filter(|limit| *limit <= self.count)?;
            let end = self.search(start..limit, |group| !suits(group));
            if end == limit {
                return Some(start..end);
            }
            start = end;
        }
    }

    /// Number of pages in `range` for which `condition` holds.
    pub fn count_of(&self, range: Range<usize>, condition: fn(&PageGroup) -> u64) -> usize {
        let group = |index| self.groups.get(index).map_or(0, condition);
        words(range).map(|(index, mask)| (group(index) & mask).count_ones() as usize).sum()
    }

    /// Marks free pages as used.
    pub fn take(&mut self, range: Range<usize>) {
        self.free -= range.len();
        if range.start <= self.lowest {
            self.lowest = self.lowest.max(range.end);
        }
        self.set(USED, range);
    }

    /// Marks used pages as free.
    pub fn release(&mut self, range: Range<usize>) {
        self.free += range.len();
        self.lowest = self.lowest.min(range.start);
        self.clear(USED, range.clone());
        self.clear(OWN, range);
    }

    /// Sets a bit of every page in `range`.
    pub fn set(&mut self, bit: Bit, range: Range<usize>) {
        self.each(range, |group, mask| *bit(group) |= mask);
    }

    /// Clears a bit of every page in `range`.
    pub fn clear(&mut self, bit: Bit, range: Range<usize>) {
        self.each(range, |group, mask| *bit(group) &= !mask);
    }

    /// Returns true if `condition` holds for every page in `range`.
    pub fn all(&self, range: Range<usize>, condition: fn(&PageGroup) -> u64) -> bool {
        let end = range.end;
        end <= self.count && self.search(range, |group| !condition(group)) == end
    }

    /// The first run of pages in `range` for which `condition` holds; empty, at its end, if there is none.
    pub fn run(&self, range: Range<usize>, condition: fn(&PageGroup) -> u64) -> Range<usize> {
        let end = range.end;
        let start = self.search(range, condition);
        start..self.search(start..end, |group| !condition(group))
    }

    fn each(&mut self, range: Range<usize>, change: impl Fn(&mut PageGroup, u64)) {
        for (index, mask) in words(range) {
            if let Some(group) = self.groups.get_mut(index) {
                change(group, mask);
            }
        }
    }

    /// The first page in `range` for which `condition` holds, or its end.
    #[inline]
    fn search(&self, range: Range<usize>, condition: impl Fn(&PageGroup) -> u64) -> usize {
        let end = range.end;
        for (index, mask) in words(range) {
            let found = self.groups.get(index).map_or(0, &condition) & mask;
            if found != 0 {
                return index * PER_GROUP + found.trailing_zeros() as usize;
            }
        }
        end
    }
}

/// The groups that `range` touches, each with the mask of the bits that lie in it.
fn words(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let groups = range.start / PER_GROUP..if range.is_empty() { 0 } else { range.end.div_ceil(PER_GROUP) };
    groups.map(move |index| {
        let first = range.start.saturating_sub(index * PER_GROUP);
        let beyond = ((index + 1) * PER_GROUP).saturating_sub(range.end);
        (index, (u64::MAX << first) & (u64::MAX >> beyond))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn pages(count: usize) -> Pages {
        Pages::new(vec![PageGroup::default(); Pages::groups(count)].leak(), count)
    }

    #[test]
    fn room_is_found_from_below_and_across_blocks() {
        let any = |_: &PageGroup| u64::MAX;
        let mut pages = pages(200);
        pages.take(0..60);
        assert_eq!(pages.find(10, any), Some(60..70));
        pages.take(60..70);
        pages.take(100..101);
        assert_eq!(pages.find(30, any), Some(70..100));
        assert_eq!(pages.find(31, any), Some(101..132));
        assert_eq!(pages.find(99, any), Some(101..200));
        assert_eq!(pages.find(100, any), None);
        assert_eq!(pages.find(usize::MAX, any), None);
        pages.release(10..20);
        assert_eq!(pages.find(10, any), Some(10..20));
        assert_eq!(pages.free(), 200 - 71 + 10);
        pages.set(WRITTEN, 0..15);
        assert_eq!(pages.find(5, |group| !group.written), Some(15..20));
        assert_eq!(pages.count_of(0..200, |group| group.written & !group.used), 5);
    }

    #[test]
    fn runs_end_where_the_range_ends() {
        let mut pages = pages(256);
        pages.set(WRITTEN, 63..129);
        let written = |group: &PageGroup| group.written;
        assert_eq!(pages.run(0..256, written), 63..129);
        assert_eq!(pages.run(64..128, written), 64..128);
        assert_eq!(pages.run(130..256, written), 256..256);
        assert!(pages.all(63..129, written));
        assert!(!pages.all(62..129, written));
        pages.clear(WRITTEN, 64..128);
        assert_eq!(pages.run(0..256, written), 63..64);
        assert!(pages.all(5..5, written));
    }
}
