//! Signal stacks of threads that have ended, for those that start.
//!
//! Each thread of std maps three pages and then closes the first, as a guard below its signal stack: a call to the
//! tender for every thread. The pages of a thread that has ended are like that already. So they are given as they are
//! to whoever is seen to map a signal stack, and the first is opened at the program's next call only, unless that call
//! closes it.

use super::host::Host;
use super::pages::{Pages, SPARSE, WRITTEN};
use super::{MANY, Memory, Span};
use husk::abi::memory::Rights;

/// Pages of a signal stack with its guard.
pub const PAGES: usize = 3;

/// How many are remembered.
const MOST: usize = 32;

/// Where some lie. Others may have got the pages since.
#[derive(Debug)]
pub struct SignalStacks {
    starts: [u32; MOST],
    count: usize,
}

/// Whether these pages are like a signal stack: open, behind a closed one.
fn is_one(pages: &Pages, span: &Span) -> bool {
    span.len() == PAGES
        && pages.all(span.start..span.start + 1, |block| block.closed & !block.sparse)
        && pages.all(span.start + 1..span.end, |block| !(block.closed | block.read_only | block.sparse))
}

impl SignalStacks {
    pub const NONE: Self = Self { starts: [0; MOST], count: 0 };

    /// These pages are about to be free.
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
            if pages.all(span.clone(), |block| !block.used) && is_one(pages, &span) {
                return Some(span);
            }
        }
        None
    }
}

impl<H: Host> Memory<H> {
    /// Maps a signal stack that is about to get its guard, if there is a former one; tells where.
    pub fn map_signal_stack(&mut self) -> Option<u64> {
        let span = self.signal_stacks.take(&self.pages)?;
        self.leftovers.used_closed();
        self.pages.take(span.clone());
        // The guard is zero: nobody could write to it since it was.
        if self.zero(span.start + 1..span.end, MANY).is_err() {
            self.pages.release(span);
            return None;
        }
        self.pages.set(WRITTEN, span.clone());
        self.pages.clear(SPARSE, span.clone());
        self.leave_unsettled(span.start..span.start + 1, Rights::READ | Rights::WRITE);
        Some(self.bytes(&span).start)
    }
}
