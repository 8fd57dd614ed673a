//! Write-back of what the program has stored to mapped files.

use super::super::{Folders, call, in_use};
use super::search::{self, Place, Progress, Search, Visit};
use super::{BUDGET, WRITE_BACK, Writing};
use crate::errno::Errno;
use crate::fs::folder::FolderFile;
use crate::fs::mirror::{Mirror, Mirrored};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use husk::abi::folder::{Flags, Message, Request, WRITE};
use husk::abi::memory::PAGE;

/// Pieces of files that are looked through at once while the program runs.
const PIECES: usize = 16;

impl Folders {
    /// Submits changes of those mapped files, until all are submitted, [`BUDGET`] bytes are under way, or this number of pieces of files
    /// has been looked through.
    ///
    /// Pages that a call is about to change are collected after that: the change would be behind the copy in the window, and before it
    /// in the volume.
    pub fn write_back(
        &mut self,
        search: &mut Search,
        which: &dyn Fn(&Mirror) -> bool,
        pieces: usize,
    ) -> Result<Progress, Errno> {
        self.mapped.blocked = None;
        let progress = search.go_on(pieces, |place| self.visit(place, which));
        let missed = search.missed().filter(|_| progress.is_ok());
        let missed = missed.and_then(|file| self.mapped.mirrors.get(file)).and_then(Option::as_ref);
        self.mapped.blocked = missed.map(|mirror| mirror.lock()).map(|mirror| (mirror.folder, mirror.number));
        progress
    }

    /// Submits the changes in a piece of a file.
    fn visit(&mut self, place: Place, which: &dyn Fn(&Mirror) -> bool) -> Result<Visit, Errno> {
        if self.mapped.under_way() >= BUDGET {
            return Ok(Visit::Full);
        }
        let Some(mirror) = self.mapped.mirrors.get(search::file(place)) else { return Ok(Visit::End) };
        let Some(mirror) = mirror.clone() else { return Ok(Visit::Seen(None)) };
        let page = search::page(place);
        let (runs, behind, writer) = {
            let mut mirror = mirror.lock();
            let Some(writer) = mirror.writer.filter(|_| mirror.is_tracked() && which(&mirror)) else {
                return Ok(Visit::Seen(None));
            };
            if self.calls.iter().any(|call| call.changes(&mirror, page)) {
                return Ok(Visit::Blocked);
            }
            let (runs, behind) = mirror.collect(page)?;
            (runs, behind, writer)
        };
        let mut failed = None;
        for (page, bytes) in runs {
            let pages = page..page + bytes.len() as u64 / PAGE;
            let submitted = match failed {
                None => self.submit_change(&mirror, writer, pages.clone(), bytes),
                Some(errno) => Err(errno),
            };
            if let Err(errno) = submitted {
                mirror.lock().lost_all(pages);
                failed = Some(errno);
            }
        }
        failed.map_or(Ok(Visit::Seen(behind)), Err)
    }

    fn submit_change(
        &mut self,
        mirror: &Mirrored,
        file: FolderFile,
        pages: Range<u64>,
        mut bytes: Vec<u8>,
    ) -> Result<(), Errno> {
        self.mapped.writing.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let request = Request {
            handle: file.handle,
            flags: Flags::WITHIN.bits(),
            offset: pages.start * PAGE,
            ..Request::default()
        };
        let mut message = Box::new(Message { request, ..Message::default() });
        let used = in_use(&mut self.open, file.folder)?;
        let (contents, length) = (bytes.as_mut_ptr() as u64, bytes.len() as u64);
        let parts = [
            call::part(WRITE, WRITE_BACK, (&raw mut *message) as u64, size_of::<Message>() as u64),
            call::part(WRITE, WRITE_BACK, contents, length),
        ];
        // SAFETY: message and bytes are kept in `writing` until the completion.
        #[expect(unsafe_code, reason = "the volume is handed memory by address")]
        let submitted = unsafe { used.folder.submit(&parts) };
        if !submitted {
            return Err(Errno::ENOMEM);
        }
        self.under_way += 1;
        self.mapped.writing.push(Writing { folder: file.folder, message, bytes, mirror: mirror.clone(), pages });
        Ok(())
    }

    /// Writes back changes, a piece at a time, if that is due.
    pub fn write_back_if_due(&mut self) {
        if self.mapped.due_ns.is_none_or(|due| due > husk::clock::monotonic_ns()) {
            return;
        }
        let mut search = mem::take(&mut self.mapped.due);
        // Without memory, it is tried again later.
        match self.write_back(&mut search, &|_| true, PIECES).unwrap_or(Progress::All) {
            Progress::All => {
                (search, self.mapped.due_ns) = (Search::default(), None);
                self.wake_volumes(u64::MAX);
            }
            // A completion is the next event.
            Progress::Waits => self.wake_volumes(u64::MAX),
            Progress::More => {}
        }
        self.mapped.due = search;
    }

    /// Submits all changes, as far as there is room, at the end of the program. Returns true if some are left.
    pub fn write_back_all(&mut self) -> bool {
        let mut search = mem::take(&mut self.mapped.last);
        let progress = self.write_back(&mut search, &|_| true, usize::MAX);
        self.mapped.last = search;
        match progress {
            Ok(progress) => progress != Progress::All,
            Err(_) => self.mapped.under_way() > 0,
        }
    }
}
