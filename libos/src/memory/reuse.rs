//! Choice of free pages for reuse.
//!
//! A free page may have leftovers of its last use: it has contents, or the tender has made it inaccessible. Undoing that one
//! mapping at a time would cost an exit for each thread that starts. So a mapping prefers pages that need no exit, and
//! leftovers are cleared all at once when there are many: adjacent pages share one exit.

use super::host::Host;
use super::pages::{CLOSED, Pages, READ_ONLY, WRITTEN};
use super::{Memory, Span};
use husk::abi::memory::Rights;

/// Numbers of free pages with leftovers.
#[derive(Debug)]
pub struct FreeDirty {
    /// Free pages of former reservations, which must be discarded before reuse.
    written: usize,
    /// Other free pages that are inaccessible or read-only.
    closed: usize,
    /// Free pages, not of former reservations, that are populated by the host.
    held: usize,
}

/// Most pages of former reservations with leftovers: sixteen stacks of 2 MiB, of which little was ever touched.
const WRITTEN_LIMIT: usize = 16 * 512;
/// Most populated free pages: 8 MiB, which a program that repeatedly maps and unmaps less than that touches again without new
/// memory from the host.
const HELD_LIMIT: usize = 2048;
/// Shortest run of them that is worth an exit.
const HELD_WORTHWHILE: usize = 16;
/// A discard is not worth it if at most one in this many pages of former reservations is populated, because faulting it in
/// again costs more than zeroing it.
const KEPT: u64 = 32;
/// Most inaccessible free pages.
const CLOSED_LIMIT: usize = 128;

impl FreeDirty {
    pub const NONE: Self = Self { written: 0, closed: 0, held: 0 };

    /// Notes that a free page, which was inaccessible, is used again.
    pub fn used_closed(&mut self) {
        self.closed = self.closed.saturating_sub(1);
    }

    /// Counts pages that are about to be freed.
    pub fn add(&mut self, pages: &Pages, span: &Span) {
        self.written += pages.count_of(span.clone(), |group| group.written & group.sparse);
        self.closed += pages.count_of(span.clone(), |group| (group.closed | group.read_only) & !group.sparse);
        self.held += pages.count_of(span.clone(), |group| group.written & !group.sparse);
    }
}

impl<H: Host> Memory<H> {
    /// Free pages for a reservation: preferably zero ones, whatever their rights.
    pub(super) fn find_sparse(&mut self, count: usize) -> Option<Span> {
        if self.free_dirty.written > WRITTEN_LIMIT {
            self.discard_free_dirty();
        }
        let pages = &mut self.pages;
        pages.find(count, |group| !group.written).or_else(|| pages.find(count, |_| u64::MAX))
    }

    /// Free pages for immediate use: preferably accessible ones, and not of former reservations.
    pub(super) fn find_dense(&mut self, count: usize) -> Option<Span> {
        if self.free_dirty.closed > CLOSED_LIMIT {
            self.open_free_dirty();
        }
        let pages = &mut self.pages;
        let best = pages.find(count, |group| !(group.closed | group.read_only | group.sparse));
        best.or_else(|| pages.find(count, |_| u64::MAX))
    }

    /// Discards memory to the host if there are many leftovers.
    pub(super) fn limit_free_dirty(&mut self) {
        if self.free_dirty.held <= HELD_LIMIT {
            return;
        }
        self.free_dirty.held = 0;
        let mut start = 0;
        loop {
            let pages = &mut self.pages;
            let run = pages.run(start..pages.count(), |group| !group.used & group.written & !group.sparse);
            if run.is_empty() {
                return;
            }
            start = run.end;
            // A run that is too short keeps its memory, and is not counted again.
            if run.len() >= HELD_WORTHWHILE {
                let bytes = self.bytes(&run);
                if self.host.discard(bytes, 0).is_ok() {
                    self.pages.clear(WRITTEN, run);
                }
            }
        }
    }

    fn discard_free_dirty(&mut self) {
        self.free_dirty.written = 0;
        let mut start = 0;
        loop {
            let pages = &mut self.pages;
            let run = pages.run(start..pages.count(), |group| !group.used & group.written);
            if run.is_empty() {
                return;
            }
            start = run.end;
            // Leaving out pages between two stacks, such as a handler's small stack, would cost another exit.
            if pages.count_of(run.clone(), |group| group.sparse) == 0 {
                continue;
            }
            let bytes = self.bytes(&run);
            if self.host.discard(bytes, run.len() as u64 / KEPT).is_ok() {
                self.pages.clear(WRITTEN, run);
            }
        }
    }

    fn open_free_dirty(&mut self) {
        self.free_dirty.closed = 0;
        let mut start = 0;
        loop {
            let pages = &mut self.pages;
            let run =
                pages.run(start..pages.count(), |group| !group.used & !group.sparse & (group.closed | group.read_only));
            if run.is_empty() {
                return;
            }
            start = run.end;
            let bytes = self.bytes(&run);
            if self.host.protect(bytes, Rights::READ | Rights::WRITE).is_ok() {
                self.pages.clear(CLOSED, run.clone());
                self.pages.clear(READ_ONLY, run);
            }
        }
    }
}
