//! Files of volumes that are mapped with MAP_SHARED ([`crate::fs::mirror`]): where their contents pass by, and how changes that the
//! program has made through a mapping are written back.
//!
//! Changes are written back from copies, by requests that no call waits for. A volume carries out requests in order; so a call that makes
//! a file durable needs only to submit its own request behind them. [`BUDGET`] bytes are under way at most; then the call waits.

use super::call::changed;
use super::{Folders, call, in_use, until_woken};
use crate::errno::Errno;
use crate::fs::folder::{Ask, FolderFile, Reply};
use crate::fs::mirror::{Mirror, Mirrored};
use crate::memory::digest::Key;
use crate::random::Random;
use crate::syscall_result::Stop;
use crate::threads::Threads;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::folder::{Flags, Message, OPEN, Request, WRITE};
use husk::abi::memory::PAGE;
use spin::Mutex;

/// Token of requests that write changes back.
pub const WRITE_BACK: u64 = u64::MAX - 2;
/// Bytes of changes that are written back at once.
pub const BUDGET: u64 = 4 << 20;
/// Time from a store to its being written back, in nanoseconds.
const AGE_NS: u64 = husk_ext4::AGE_NS;
/// Pieces of files that are looked through at once while the program runs.
const PIECES: usize = 16;
/// Bits of a page's number in a [`Place`].
const PAGE_BITS: u32 = 40;

/// Mapped files, and changes on their way.
#[derive(Debug, Default)]
pub struct Mapped {
    /// The files; a place that is free has none.
    mirrors: Vec<Option<Mirrored>>,
    /// Changes that are being written back, in order.
    writing: Vec<Writing>,
    /// Key of all digests.
    key: Option<Arc<Key>>,
    /// Monotonic time at which changes are looked for, in nanoseconds.
    due_ns: Option<u64>,
    /// Folder and number of the file at which the last search has stopped, because a call is about to change it. Further calls that
    /// would change it wait for the search, or it might never go on.
    blocked: Option<(u32, u64)>,
    /// Place of the search that is due, and of that at the end of the program.
    at: [Place; 2],
}

/// Place of a search for changes: index of the file, and its page.
pub type Place = u64;
/// Place behind all.
pub const DONE: Place = u64::MAX;

/// A change that is being written back.
#[derive(Debug)]
struct Writing {
    folder: u32,
    message: Box<Message>,
    bytes: Vec<u8>,
    mirror: Mirrored,
    pages: Range<u64>,
}

impl Mapped {
    /// Returns true if any file is mapped.
    #[inline]
    pub fn any(&self) -> bool {
        !self.mirrors.is_empty()
    }

    /// The contents of a file, if it is mapped.
    pub fn find(&self, folder: u32, number: u64) -> Option<&Mirrored> {
        let is_it = |mirror: &&Mirrored| {
            let mirror = mirror.lock();
            mirror.folder == folder && mirror.number == number
        };
        self.mirrors.iter().flatten().find(is_it)
    }

    /// The contents that a completed request concerns.
    pub fn concerned(&self, folder: u32, operation: u16, number: Option<u64>, opened: u64) -> Option<&Mirrored> {
        if !self.any() {
            return None;
        }
        let number =
            if operation == OPEN { Some(opened) } else { number.or(Some(opened).filter(|number| *number > 0)) };
        self.find(folder, number?)
    }

    /// Monotonic time at which changes are looked for, in nanoseconds.
    #[inline]
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Drops files that are not mapped any more, and have no changes on their way.
    pub fn drop_unmapped(&mut self) {
        let places = self.mirrors.iter_mut();
        places.filter(|place| place.as_ref().is_some_and(|it| Arc::strong_count(it) == 1)).for_each(|it| *it = None);
        if self.mirrors.iter().all(Option::is_none) {
            self.mirrors = Vec::new();
        }
    }

    /// Returns true if a request has to wait, because it would change the file at which a search has stopped.
    #[inline]
    pub fn holds(&self, folder: u32, ask: &Ask<'_>) -> bool {
        self.blocked.is_some_and(|(blocked, number)| {
            blocked == folder
                && ask.number.is_none_or(|asked| asked == number)
                && changed(ask.operation, &ask.request, ask.data.length()).is_some()
        })
    }

    /// Returns true if no search has stopped.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.blocked.is_none()
    }

    fn under_way(&self) -> u64 {
        self.writing.iter().map(|writing| writing.bytes.len() as u64).sum()
    }

    /// Handles the completion of the first change to a folder that is being written back.
    pub fn written(&mut self, folder: u32) {
        let Some(first) = self.writing.iter().position(|writing| writing.folder == folder) else { return };
        let writing = self.writing.remove(first);
        let message = (&raw const *writing.message).cast::<Message>();
        // SAFETY: the message is alive, aligned, and any bytes are a valid one.
        #[expect(unsafe_code, reason = "the volume has written to the message")]
        let Message { answer, .. } = unsafe { message.read_volatile() };
        // The volume keeps the error for the next call that makes the file durable.
        if answer.error != 0 {
            writing.mirror.lock().lost_all(writing.pages);
        }
    }
}

impl Folders {
    /// The contents of a file that the thread's call is about to map.
    pub fn mirror(&mut self, thread: u32, file: FolderFile, random: &mut Random) -> Result<Mirrored, Errno> {
        let at = self.call(thread)?;
        let mirror = self.find_or_make(file, random)?;
        self.calls[at].mirror = Some(mirror.clone());
        Ok(mirror)
    }

    fn find_or_make(&mut self, file: FolderFile, random: &mut Random) -> Result<Mirrored, Errno> {
        if let Some(mirror) = self.mapped.find(file.folder, file.number) {
            return Ok(mirror.clone());
        }
        let mapped = &mut self.mapped;
        let key = mapped.key.get_or_insert_with(|| Arc::new(Key::new(|bytes| random.fill(bytes)))).clone();
        let mirror = Arc::new(Mutex::new(Mirror::new(file, key)));
        match mapped.mirrors.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(mirror.clone()),
            None => {
                mapped.mirrors.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                mapped.mirrors.push(Some(mirror.clone()));
            }
        }
        Ok(mirror)
    }

    /// Returns true if the file is mapped.
    pub fn is_mapped(&self, file: FolderFile) -> bool {
        self.mapped.any() && self.mapped.find(file.folder, file.number).is_some()
    }

    /// Takes the last reply that the thread's call has got, and forgets those before; waits for the one that is under way.
    pub fn take_reply(&mut self, threads: &mut Threads) -> Result<Option<Reply>, Stop> {
        let thread = threads.current();
        let Some(call) = self.calls.iter_mut().find(|call| call.thread == Some(thread.id)) else { return Ok(None) };
        thread.held = call.is_waiting();
        if thread.held { Err(until_woken()) } else { Ok(call.take_last()) }
    }

    /// Waits until any request is completed.
    pub fn await_any(&mut self, threads: &mut Threads) -> Result<(), Stop> {
        let thread = threads.current();
        self.excluded.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.excluded.push(thread.id);
        thread.held = true;
        Err(until_woken())
    }

    /// Submits changes of those mapped files, from a place on, until all are submitted, [`BUDGET`] bytes are under way, or this number
    /// of pieces of files has been looked through. The place becomes the next one. Returns true if all are submitted.
    ///
    /// Pages that a call is about to change are collected after that: the change would be behind the copy in the window, and before it
    /// in the volume.
    pub fn write_back(
        &mut self,
        at: &mut Place,
        which: &dyn Fn(&Mirror) -> bool,
        pieces: usize,
    ) -> Result<bool, Errno> {
        self.mapped.blocked = None;
        for _ in 0..pieces {
            if self.mapped.under_way() >= BUDGET {
                break;
            }
            let Some(mirror) = self.mapped.mirrors.get((*at >> PAGE_BITS) as usize) else { return Ok(true) };
            let next = ((*at >> PAGE_BITS) + 1) << PAGE_BITS;
            let Some(mirror) = mirror.clone() else {
                *at = next;
                continue;
            };
            let page = *at & ((1 << PAGE_BITS) - 1);
            let (runs, behind, writer) = {
                let mut mirror = mirror.lock();
                match mirror.writer.filter(|_| mirror.is_tracked() && which(&mirror)) {
                    None => (Vec::new(), None, None),
                    Some(_) if self.calls.iter().any(|call| call.changes(&mirror, page)) => {
                        self.mapped.blocked = Some((mirror.folder, mirror.number));
                        return Ok(false);
                    }
                    writer => {
                        let (runs, behind) = mirror.collect(page)?;
                        (runs, behind, writer)
                    }
                }
            };
            for (page, bytes) in runs {
                let pages = page..page + bytes.len() as u64 / PAGE;
                if let Some(writer) = writer
                    && let Err(errno) = self.submit_change(&mirror, writer, pages.clone(), bytes)
                {
                    mirror.lock().lost_all(pages);
                    return Err(errno);
                }
            }
            *at = behind.map_or(next, |page| *at >> PAGE_BITS << PAGE_BITS | page);
        }
        Ok(false)
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

    /// Notes that the program runs, and may store to what it has mapped.
    #[inline]
    pub fn program_runs(&mut self) {
        if self.mapped.any() && self.mapped.due_ns.is_none() {
            self.await_changes();
        }
    }

    #[cold]
    fn await_changes(&mut self) {
        self.mapped.drop_unmapped();
        if self.mapped.mirrors.iter().flatten().any(|mirror| mirror.lock().is_tracked()) {
            let due_ns = husk::clock::monotonic_ns().saturating_add(AGE_NS);
            self.mapped.due_ns = Some(due_ns);
            self.wake_volumes(due_ns);
        }
    }

    fn wake_volumes(&mut self, at_ns: u64) {
        self.open.iter_mut().filter_map(|used| used.folder.volume()).for_each(|volume| volume.mapped_due_ns = at_ns);
    }

    /// Writes back changes, a piece at a time, if that is due.
    pub fn write_back_if_due(&mut self) {
        if self.mapped.due_ns.is_none_or(|due| due > husk::clock::monotonic_ns()) {
            return;
        }
        let [mut at, _] = self.mapped.at;
        // Without memory, it is tried again later.
        if self.write_back(&mut at, &|_| true, PIECES).unwrap_or(true) {
            (at, self.mapped.due_ns) = (0, None);
            self.wake_volumes(u64::MAX);
        } else if self.mapped.blocked.is_some() || self.mapped.under_way() >= BUDGET {
            // A completion is the next event.
            self.wake_volumes(u64::MAX);
        }
        self.mapped.at[0] = at;
    }

    /// Submits all changes, as far as there is room. Returns true if some are left.
    pub fn write_back_all(&mut self) -> bool {
        let [_, mut at] = self.mapped.at;
        let is_all = self.write_back(&mut at, &|_| true, usize::MAX).unwrap_or(true);
        self.mapped.at[1] = at;
        !is_all
    }
}
