//! Access rights of pages: only changes are passed to the tender, and those of a reservation not before it is clear that the
//! program does not open it at once.

use super::host::Host;
use super::pages::{CLOSED, PageGroup, Pages, READ_ONLY};
use super::{Memory, Span};
use crate::errno::Errno;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use husk::abi::memory::Rights;

/// True if [`Memory::flush_pending_mprotect`] has work to do.
static UNSETTLED: AtomicBool = AtomicBool::new(false);

/// Returns true if pages are still to be closed: checked, and settled, before any system call but mprotect.
#[inline]
pub fn has_pending_mprotect() -> bool {
    UNSETTLED.load(Relaxed)
}

impl<H: Host> Memory<H> {
    /// Changes the program's access rights to its pages; ENOMEM if some are not its own.
    pub fn protect(&mut self, address: u64, length: u64, rights: Rights) -> Result<(), Errno> {
        let span = self.mapped(address, length)?;
        self.set_rights(span.clone(), rights)?;
        let Some((new, rights)) = self.pending_mprotect.take() else { return Ok(()) };
        UNSETTLED.store(false, Relaxed);
        // Pages that have just got rights keep them; the rest of the new mapping gets those it was mapped with.
        self.set_rights(new.start..span.start.clamp(new.start, new.end), rights)?;
        self.set_rights(span.end.clamp(new.start, new.end)..new.end, rights)
    }

    /// Applies the rights of the last mapping to its pages.
    pub fn flush_pending_mprotect(&mut self) -> Result<(), Errno> {
        UNSETTLED.store(false, Relaxed);
        self.pending_mprotect.take().map_or(Ok(()), |(span, rights)| self.set_rights(span, rights))
    }

    pub(super) fn defer_mprotect(&mut self, span: Span, rights: Rights) {
        self.pending_mprotect = Some((span, rights));
        UNSETTLED.store(true, Relaxed);
    }

    /// Current rights of a page.
    pub(super) fn rights(&mut self, page: usize) -> Rights {
        let is = |pages: &Pages, bit| pages.all(page..page + 1, bit);
        if is(&self.pages, |group| group.closed) {
            Rights::empty()
        } else if is(&self.pages, |group| group.read_only) {
            Rights::READ
        } else {
            Rights::READ | Rights::WRITE
        }
    }

    /// Makes the tender change the rights of those pages that have others.
    pub(super) fn set_rights(&mut self, span: Span, rights: Rights) -> Result<(), Errno> {
        let differs: fn(&PageGroup) -> u64 = match rights {
            rights if rights.contains(Rights::WRITE) => |group| group.read_only | group.closed,
            rights if rights.contains(Rights::READ) => |group| !group.read_only,
            _ => |group| !group.closed,
        };
        let Range { mut start, end } = span;
        while start < end {
            let run = self.pages.run(start..end, differs);
            start = run.end;
            if run.is_empty() {
                break;
            }
            self.host.protect(self.bytes(&run), rights).map_err(|_| Errno::ENOMEM)?;
            let pages = &mut self.pages;
            pages.clear(READ_ONLY, run.clone());
            pages.clear(CLOSED, run.clone());
            if rights.is_empty() {
                pages.set(CLOSED, run);
            } else if !rights.contains(Rights::WRITE) {
                pages.set(READ_ONLY, run);
            }
        }
        Ok(())
    }
}
