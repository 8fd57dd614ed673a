//! Requests to folders ([`husk::abi::folder`]): to those of the host, and to volumes, which answer the same requests
//! ([`crate::volume`]).
//!
//! A call may take several requests, one after the other, and is restarted whenever one is answered. The answers that it has got
//! are kept until it ends (`call`): from the start, it asks the same again, and gets the same answers, up to the request
//! that is new. So code that asks reads as if it waited. A call whose last request has an effect that must not be repeated takes
//! its answer for good ([`Folders::ask_last`]).
//!
//! Attributes are kept for a moment (`cache`).
//!
//! Until a request is completed, the tender uses its memory: no signal ends the call, and the program's memory cannot be unmapped,
//! as for disks ([`crate::disk`]).

mod cache;
mod call;
mod close;
pub mod mapped;
mod server;
mod transfer;
mod volumes;

use crate::errno::Errno;
use crate::fs::folder::{Ask, Folder as Shown, FolderFile, Reply};
use crate::syscall_result::{Stop, WaitFor};
use crate::threads::Threads;
use crate::user::Slice;
use alloc::boxed::Box;
use alloc::vec::Vec;
use cache::{Cache, Key};
use call::Call;
use husk::abi::folder::{Answer, FLOCK, Flags, LOCK, Message, OPEN, Properties, STAT};
use husk::device;
use husk::folder;
use husk::wait::Source;
use mapped::search::Search;
use mapped::{Mapped, WRITE_BACK};
use server::Server;

/// Most polls for the reply to a request, each of which ends with the completion of any.
const POLLS: usize = 4;
/// Token of requests that no thread waits for.
const NOBODY: u64 = u64::MAX;

/// The folders of the program.
#[derive(Debug, Default)]
pub struct Folders {
    /// Folders in use.
    open: Vec<InUse>,
    /// Attributes of their files.
    cache: Cache,
    /// Calls in progress.
    calls: Vec<Call>,
    /// Requests to close files that are under way, in order.
    closing: Vec<(u32, Box<Message>)>,
    /// Files to be closed, for which there was no room.
    unclosed: Vec<FolderFile>,
    /// Number of requests that are not completed.
    under_way: u32,
    /// True if a volume has work to do, such as changes to write back.
    has_work: bool,
    /// Token of the next call.
    next_token: u64,
    /// Threads that wait for a request to be completed, because of its memory.
    excluded: Vec<u32>,
    /// Files that are mapped with MAP_SHARED.
    pub mapped: Mapped,
}

/// A folder in use.
#[derive(Debug)]
struct InUse {
    /// Number among all devices.
    number: u32,
    folder: Server,
    /// True if attributes may be kept.
    keeps: bool,
    /// True if a lock has been asked for: closing a file may release it.
    has_locks: bool,
}

/// Attached folders, and disks that are mounted.
pub fn attached() -> impl Iterator<Item = Shown> {
    (0..).zip(device::all()).filter_map(|(number, device)| {
        if let Some(volume) = volumes::shown(number, device) {
            return Some(volume);
        }
        let (properties, path) = folder::properties(device)?;
        let flags = Properties::from_bits_truncate(properties.flags);
        let (read_only, is_file) = (flags.contains(Properties::READ_ONLY), flags.contains(Properties::FILE));
        Some(Shown { number, read_only, is_file, path: path.to_vec(), disk: None })
    })
}

impl Folders {
    /// Returns true if a request is under way, or a volume has work to do.
    #[inline]
    pub fn busy(&self) -> bool {
        self.under_way > 0 || self.has_work || self.mapped.due_ns().is_some()
    }

    /// Returns true if any call is in progress.
    #[inline]
    pub fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Asks a folder, for the current thread's call; returns the reply, or waits for it.
    pub fn ask(&mut self, threads: &mut Threads, number: u32, ask: Ask<'_>) -> Result<Reply, Stop> {
        let thread = threads.current().id;
        let at = self.call(thread)?;
        self.poll(threads);
        let call = &mut self.calls[at];
        if let Some(reply) = call.next()? {
            threads.current().held = false;
            return Ok(reply);
        }
        if !call.is_waiting() {
            let Ask { operation, request, number: file, names: [path, _], .. } = ask;
            let time_ns = if matches!(operation, STAT | OPEN) { husk::clock::monotonic_ns() } else { 0 };
            if operation == STAT {
                let no_follow = request.flags & Flags::NO_FOLLOW.bits() != 0;
                let key = Key { folder: number, base: request.handle, no_follow, path };
                if let Some(attributes) = self.cache.find(key, time_ns) {
                    // The call may make further requests, and is restarted for each: it gets the same answer then.
                    call.reply(Answer { attributes, ..Answer::default() })?;
                    return Ok(call.next()?.ok_or(Errno::EIO)?);
                }
            }
            call.is_held = self.mapped.holds(number, &ask);
            if call.is_held {
                threads.current().held = false;
                return Err(until_woken());
            }
            let used = in_use(&mut self.open, number)?;
            used.has_locks |= matches!(operation, FLOCK | LOCK);
            let submitted = call.submit(&mut used.folder, ask)?;
            used.folder.offer();
            if submitted {
                self.under_way += 1;
                call.submitted(self.cache.submitted((operation, number), &request, file, time_ns));
                if let Some(reply) = self.await_reply(threads, at)? {
                    return Ok(reply);
                }
            }
        }
        threads.current().held = self.calls[at].is_waiting();
        Err(until_woken())
    }

    /// Reply to the request of a call, if it comes without a wait. Other threads that are ready run meanwhile instead.
    fn await_reply(&mut self, threads: &mut Threads, at: usize) -> Result<Option<Reply>, Errno> {
        for _ in 0..POLLS {
            let number = self.calls[at].folder();
            let server = &mut in_use(&mut self.open, number)?.folder;
            let serves = !threads.others_ready() && server.serve();
            if !serves && !server.is_volume() {
                break;
            }
            // A request before this one may be what has been completed.
            self.poll(threads);
            if !self.calls[at].is_waiting() {
                return self.calls[at].next();
            }
            if !serves {
                break;
            }
        }
        Ok(None)
    }

    /// Asks like [`Folders::ask`], and forgets the call's replies with this one, which has an effect.
    pub fn ask_last(&mut self, threads: &mut Threads, number: u32, ask: Ask<'_>) -> Result<Reply, Stop> {
        let reply = self.ask(threads, number, ask)?;
        self.forget(threads.current().id);
        Ok(reply)
    }

    /// Index of a thread's call.
    fn call(&mut self, thread: u32) -> Result<usize, Errno> {
        if let Some(at) = self.calls.iter().position(|call| call.thread == Some(thread)) {
            return Ok(at);
        }
        self.calls.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.calls.push(Call::new(thread, self.next_token));
        self.next_token += 1;
        Ok(self.calls.len() - 1)
    }

    /// Address of memory that the thread's call has mapped, which it keeps when it is restarted.
    pub fn kept(&mut self, thread: u32) -> Option<&mut Option<u64>> {
        self.calls.iter_mut().find(|call| call.thread == Some(thread)).map(|call| &mut call.kept)
    }

    /// The search for changes of the thread's call, which it keeps when it is restarted.
    pub fn search(&mut self, thread: u32) -> Result<&mut Option<Search>, Errno> {
        let at = self.call(thread)?;
        self.calls.get_mut(at).map(|call| &mut call.search).ok_or(Errno::EIO)
    }

    /// Returns true if the thread's call has asked before it was restarted.
    pub fn has_call(&self, thread: u32) -> bool {
        self.calls.iter().any(|call| call.thread == Some(thread))
    }

    /// Returns `value`, or what the thread's call has decided before it was restarted: what depends on that, it does as before.
    pub fn decide(&mut self, thread: u32, value: bool) -> Result<bool, Errno> {
        let at = self.call(thread)?;
        let decide = |call: &mut Call| {
            // A call that has asked before without a decision did so while nothing was watched.
            let value = value && call.is_new();
            *call.decided.get_or_insert(value)
        };
        Ok(self.calls.get_mut(at).is_some_and(decide))
    }

    /// Notes that the current thread's call has stopped: to be restarted, if it `waits`.
    pub fn stopped(&mut self, thread: u32, waits: bool) {
        match waits {
            true => self.calls.iter_mut().filter(|call| call.thread == Some(thread)).for_each(Call::rewind),
            false => self.forget(thread),
        }
    }

    /// Forgets the replies of a thread's call; a request under way is kept until it is completed.
    pub fn forget(&mut self, thread: u32) {
        for call in self.calls.iter_mut().filter(|call| call.thread == Some(thread)) {
            call.thread = None;
        }
        self.drop_calls();
    }

    /// Drops the calls that no thread makes any more, once their requests are completed.
    fn drop_calls(&mut self) {
        while let Some(at) = self.calls.iter().position(|call| call.thread.is_none() && !call.is_waiting()) {
            if let Some(file) = self.calls.swap_remove(at).unclaimed() {
                self.close(file);
            }
        }
    }

    /// Handles completed requests, and wakes the threads that wait for them.
    pub fn poll(&mut self, threads: &mut Threads) {
        let mut any = false;
        for InUse { number, folder, keeps, .. } in &mut self.open {
            while let Some(token) = folder.completed() {
                any = true;
                self.under_way = self.under_way.saturating_sub(1);
                if token == NOBODY {
                    let first = self.closing.iter().position(|(other, _)| other == number);
                    first.map(|first| self.closing.remove(first));
                    continue;
                }
                if token == WRITE_BACK {
                    self.mapped.written(*number);
                    continue;
                }
                for call in self.calls.iter_mut().filter(|call| call.token() == Some(token)) {
                    call.completed(keeps.then_some(&mut self.cache), &self.mapped);
                    call.thread.into_iter().for_each(|thread| threads.wake_thread(thread));
                }
            }
        }
        self.write_back_if_due();
        self.release_held(threads);
        self.has_work = self.open.iter_mut().any(|used| used.has_work());
        if any {
            self.after_completions(threads);
        }
    }

    /// Wakes the calls that have waited for a search for changes to go on, if it has.
    pub fn release_held(&mut self, threads: &mut Threads) {
        if !self.mapped.is_free() {
            return;
        }
        for call in self.calls.iter_mut().filter(|call| call.is_held) {
            call.is_held = false;
            call.thread.into_iter().for_each(|thread| threads.wake_thread(thread));
        }
    }

    fn after_completions(&mut self, threads: &mut Threads) {
        self.drop_calls();
        if self.mapped.any() {
            self.mapped.drop_unmapped();
        }
        // A thread that had no room for its request tries again.
        for call in self.calls.iter().filter(|call| call.has_no_room) {
            call.thread.into_iter().for_each(|thread| threads.wake_thread(thread));
        }
        core::mem::take(&mut self.excluded).into_iter().for_each(|thread| threads.wake_thread(thread));
        for file in core::mem::take(&mut self.unclosed) {
            self.close(file);
        }
    }

    /// Waits until no request uses these bytes of the program's memory, which are about to be unmapped or protected.
    pub fn await_memory(&mut self, threads: &mut Threads, address: u64, length: u64) -> Result<(), Stop> {
        let thread = threads.current();
        if !self.calls.iter().any(|call| call.uses(Slice::new(address, length))) {
            return Ok(());
        }
        thread.held = true;
        self.excluded.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.excluded.push(thread.id);
        Err(until_woken())
    }

    /// Notifies the tender of requests without waiting for it, but for those that can be deferred.
    pub fn ring(&mut self) {
        self.open.iter_mut().filter(|used| !used.folder.is_deferred()).for_each(|used| used.folder.publish());
    }

    /// Notifies the tender of all requests without waiting for it.
    pub fn ring_all(&mut self) {
        self.open.iter_mut().for_each(|used| used.folder.publish());
    }

    /// Wait sources of the folders in use.
    pub fn sources(&mut self) -> impl Iterator<Item = &mut dyn Source> {
        self.open.iter_mut().map(|used| used.folder.source())
    }
}

/// The folder with this number, taken into use.
fn in_use(open: &mut Vec<InUse>, number: u32) -> Result<&mut InUse, Errno> {
    let at = match open.iter().position(|used| used.number == number) {
        Some(at) => at,
        None => {
            open.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let device = device::all().nth(number as usize).ok_or(Errno::ENXIO)?;
            let flags =
                folder::properties(device).map(|(properties, _)| Properties::from_bits_truncate(properties.flags));
            // A volume knows the attributes as fast.
            let keeps = flags.is_some_and(|flags| !flags.contains(Properties::NOT_CACHED));
            let folder = Server::open(number).map_err(|_| Errno::ENXIO)?;
            open.push(InUse { number, folder, keeps, has_locks: false });
            open.len() - 1
        }
    };
    open.get_mut(at).ok_or(Errno::ENXIO)
}

fn until_woken() -> Stop {
    Stop::until(WaitFor::Time, None)
}
