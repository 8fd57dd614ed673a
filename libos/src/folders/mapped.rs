//! Files of volumes that are mapped with MAP_SHARED ([`crate::fs::mirror`]): where their contents pass by, and how changes that the
//! program has made through a mapping are written back.
//!
//! Changes are written back from copies, by requests that no call waits for. A volume carries out requests in order; so a call that makes
//! a file durable needs only to submit its own request behind them. [`BUDGET`] bytes are under way at most; then the call waits.

pub mod search;
mod write_back;

use super::call::changed;
use super::{Folders, until_woken};
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
use husk::abi::folder::{Message, OPEN};
use search::Search;
use spin::Mutex;

/// Token of requests that write changes back.
pub const WRITE_BACK: u64 = u64::MAX - 2;
/// Bytes of changes that are written back at once.
pub const BUDGET: u64 = 4 << 20;
/// Time from a store to its being written back, in nanoseconds.
const AGE_NS: u64 = husk_ext4::AGE_NS;

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
    /// Folder and number of the file that the last search has left behind, because a call is about to change it. Further calls that
    /// would change it wait for the search, or it might never come back.
    blocked: Option<(u32, u64)>,
    /// The search that is due, and that at the end of the program.
    due: Search,
    last: Search,
}

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

    /// Returns true if a request has to wait, because it would change the file that a search has left behind.
    #[inline]
    pub fn holds(&self, folder: u32, ask: &Ask<'_>) -> bool {
        self.blocked.is_some_and(|(blocked, number)| {
            blocked == folder
                && ask.number.is_none_or(|asked| asked == number)
                && changed(ask.operation, &ask.request, ask.data.length()).is_some()
        })
    }

    /// Returns true if no search has left a file behind.
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
}
