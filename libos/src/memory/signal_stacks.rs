//! Signal stacks of ended threads, reused for new ones.
//!
//! Each thread of std maps three pages and then makes the first inaccessible, as a guard below its signal stack: a call to the
//! tender for every thread. The pages of an ended thread are in that state already. So a new mapping that looks like a signal
//! stack gets them as they are, and the first page is opened at the program's next call only, unless that call closes it.

use super::host::Host;
use super::pages::{Pages, SPARSE, WRITTEN};
use super::{MANY, Memory, Span};
use husk::abi::memory::Rights;

/// Pages of a signal stack with its guard.
pub const PAGES: usize = 3;

/// Most signal stacks remembered.
const MOST: usize = 32;

/// Page numbers of some. The pages may have been reused since.
#[derive(Debug)]
pub struct SignalStacks {
    starts: [u32; MOST],
    count: usize,
}

/// Returns true if the pages are in the state of a signal stack: accessible, behind an inaccessible one.
fn is_one(pages: &Pages, span: &Span) -> bool {
    span.len() == PAGES
        && pages.all(span.start..span.start + 1, |group| group.closed & !group.sparse)
        && pages.all(span.start + 1..span.end, |group| !(group.closed | group.read_only | group.sparse))
}

impl SignalStacks {
    pub const NONE: Self = Self { starts: [0; MOST], count: 0 };

    /// Remembers pages that are about to be freed, if they are a signal stack.
    pub fn add(&mut self, pages: &Pages, span: &Span) {
        if span.len() == PAGES
            && is_one(pages, span)
            && let Some(start) = self.starts.get_mut(self.count)
        {
            *start = span.start as u32;
            self.count += 1;
        }
    }

    fn take(&mut self, pages: &Pages) -> Option<Span> {
        while self.count > 0 {
            self.count -= 1;
            let start = *self.starts.get(self.count)? as usize;
            let span = start..start + PAGES;
            if pages.all(span.clone(), |group| !group.used) && is_one(pages, &span) {
                return Some(span);
            }
        }
        None
    }
}

impl<H: Host> Memory<H> {
    /// Maps a former signal stack for one that is about to get its guard, if there is any; returns its address.
    pub fn map_signal_stack(&mut self) -> Option<u64> {
        let span = self.signal_stacks.take(&self.pages)?;
        self.free_dirty.used_closed();
        self.pages.take(span.clone());
        // The guard is still zero, because it has been inaccessible since it was.
        if self.zero(span.start + 1..span.end, MANY).is_err() {
            self.pages.release(span);
            return None;
        }
        self.pages.set(WRITTEN, span.clone());
        self.pages.clear(SPARSE, span.clone());
        self.defer_mprotect(span.start..span.start + 1, Rights::READ | Rights::WRITE);
        Some(self.bytes(&span).start)
    }
}
