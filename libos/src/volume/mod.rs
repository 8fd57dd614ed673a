//! Volumes: ext4 file systems on disks, which answer the requests of [`husk::abi::folder`] inside the guest.
//!
//! A [`Volume`] takes requests as a folder of the host does. Its file system (`husk-ext4`) is written as if each access to the disk
//! waited; so it runs as a fiber (`main`). Where it needs the disk, the fiber is suspended, and the completion of the
//! request resumes it (`exchange`): threads with no call that waits for this volume run meanwhile. The requests to one volume are
//! answered one after the other, in the order of submission.
//!
//! What a request changes is in memory until it is written back: by a request that asks for durability, [`AGE_NS`] after
//! the first change, or at the end of the program.

mod exchange;
mod main;
mod progress;

use crate::memory::MEMORY;
use crate::user::Slice;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use exchange::{Event, Exchange, Job};
use husk::abi::call::News;
use husk::abi::device::Device;
use husk::abi::memory::PAGE;
use husk::abi::ring::Descriptor;
use husk::block::Disk;
use husk::device;
use husk::wait::{self, Source, Watches};
use husk_ext4::{AGE_NS, Failed, Options};
use progress::Progress;

/// Bytes of the stack of a fiber, of which those that it never uses cost nothing.
const STACK: u64 = 256 << 10;
/// Least size of the cache of the disk in bytes.
const CACHE: usize = 4 << 20;
/// Divisor of the guest's memory: the cache has the quotient beside its least size.
const CACHE_PART: u64 = 64;

/// A disk with a file system.
#[derive(Debug)]
pub struct Volume {
    disk: Disk,
    exchange: &'static Exchange,
    /// Work to do, in order.
    jobs: VecDeque<(u64, Job)>,
    /// Token of the work that the fiber is at.
    current: Option<u64>,
    /// Request to the disk that the fiber waits for.
    progress: Option<Progress>,
    /// Tokens of the requests that have been answered.
    done: VecDeque<u64>,
    /// Name of the disk, for messages.
    name: &'static str,
    /// True if the user knows that the disk has refused a write.
    is_reported: bool,
    /// Monotonic time at which changes are written back, in nanoseconds; `None` if there are none.
    due_ns: Option<u64>,
    /// Monotonic time at which the program's changes to mapped files are looked for, in nanoseconds.
    pub mapped_due_ns: u64,
    state: State,
}

/// State of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    New,
    Mounted,
    /// Not to be mounted, for this reason.
    Refused(String),
    Leaving,
    /// Unmounted, or failed to be.
    Gone(Result<(), Failed>),
}

/// Message about a file system that a crash may damage.
const NO_JOURNAL: &str =
    "has a file system without a journal, which a crash may damage; add one while it is not in use: `tune2fs -j FILE`";
/// Message about a disk that does not work any more.
const REFUSED: &str = "has refused a write: nothing can be changed there any more";
/// Message about changes that could not be written back at the end.
const LOST: &str = "could not be unmounted: changes of the last seconds may be lost";
/// Token of work that no request is for.
const OWN: u64 = u64::MAX - 1;

impl Volume {
    /// Takes the disk of this device into use, and mounts its file system. The reason, if it cannot be, is for the user.
    pub fn mount(device: &'static Device) -> Result<Self, String> {
        let mut volume = Self::new(device).ok_or("there is no memory for it; give the guest more, with --memory")?;
        let read_only = device::is_mounted_read_only(device);
        let cache_bytes = CACHE + (husk::boot::info().heap.length / CACHE_PART) as usize;
        let options = Options { read_only, cache_bytes, now_ns: husk::clock::realtime_ns() };
        volume.jobs.push_back((OWN, Job::Mount(options)));
        volume.run();
        while volume.state == State::New {
            wait::any(&mut [&mut volume.disk], News::empty(), u64::MAX);
            volume.advance();
        }
        match volume.state {
            State::Refused(reason) => Err(reason),
            _ => Ok(volume),
        }
    }

    fn new(device: &'static Device) -> Option<Self> {
        let name = core::str::from_utf8(device::name(device)).ok()?;
        let disk = Disk::open(name).ok()?;
        let stack = MEMORY.lock().take_stack((STACK / PAGE) as usize)?;
        let exchange = main::spawn(stack.end(), &disk)?;
        let (jobs, done) = (VecDeque::new(), VecDeque::new());
        let (current, progress, due_ns, mapped_due_ns, state) = (None, None, None, u64::MAX, State::New);
        Some(Self {
            disk,
            exchange,
            jobs,
            current,
            progress,
            done,
            name,
            is_reported: false,
            due_ns,
            mapped_due_ns,
            state,
        })
    }

    /// Submits a request of these parts. Returns true if there was room for it.
    ///
    /// # Safety
    ///
    /// The memory that the parts name is not accessed before the request is completed.
    #[expect(unsafe_code, reason = "the memory is used by address until the completion")]
    pub unsafe fn submit(&mut self, parts: &[Descriptor]) -> bool {
        let Some(first) = parts.first() else { return false };
        let mut slices = Vec::new();
        let room = slices.try_reserve_exact(parts.len()).is_ok()
            // Also for that of the unmount, which must not fail.
            && self.jobs.try_reserve(2).is_ok()
            && self.done.try_reserve(self.jobs.len() + 2).is_ok();
        if !room {
            return false;
        }
        slices.extend(parts.iter().map(|part| Slice::new(part.address, part.length.into())));
        self.jobs.push_back((first.token, Job::Answer(first.operation, slices)));
        self.run();
        true
    }

    /// Returns the token of a request that has been answered.
    pub fn completed(&mut self) -> Option<u64> {
        if let Some(token) = self.done.pop_front() {
            return Some(token);
        }
        self.advance();
        self.write_back_if_due();
        self.done.pop_front()
    }

    /// Makes the tender carry out the request to the disk, as [`husk::folder::Folder::serve`]. Returns true if it may have completed.
    pub fn serve(&mut self) -> bool {
        !self.done.is_empty() || self.disk.serve()
    }

    /// Publishes the request to the disk.
    pub fn offer(&mut self) {
        self.disk.offer();
    }

    /// Notifies the tender of the request to the disk.
    pub fn publish(&mut self) {
        self.disk.publish();
    }

    /// Returns true if the volume has work to do, also without a request: changes to write back.
    pub fn has_work(&self) -> bool {
        self.due_ns.is_some() || self.progress.is_some() || self.state == State::Leaving
    }

    /// Begins to unmount the volume, after all requests. Returns true if it is not unmounted yet.
    pub fn unmount(&mut self) -> bool {
        if self.state == State::Mounted {
            self.state = State::Leaving;
            self.due_ns = None;
            self.jobs.push_back((OWN, Job::Unmount));
            self.run();
        }
        self.state == State::Leaving
    }

    /// Unmounts the volume, and waits for it.
    pub fn unmount_now(&mut self) {
        while self.unmount() {
            wait::any(&mut [&mut self.disk], News::empty(), u64::MAX);
            self.advance();
        }
    }

    /// Returns true if the volume could not be unmounted, which the user knows.
    pub fn is_broken(&self) -> bool {
        self.state == State::Gone(Err(Failed))
    }

    fn write_back_if_due(&mut self) {
        let is_due = self.due_ns.is_some_and(|due| due <= husk::clock::monotonic_ns());
        if is_due && self.state == State::Mounted && self.jobs.try_reserve(2).is_ok() {
            self.due_ns = None;
            self.jobs.push_back((OWN, Job::WriteBack));
            self.run();
        }
    }

    /// Notes completed requests to the disk, and lets the fiber continue if it waits for no other.
    fn advance(&mut self) {
        while let Some((_, result)) = self.disk.completed() {
            if let Some(progress) = &mut self.progress {
                progress.under_way = progress.under_way.saturating_sub(1);
                progress.failed |= result.is_err();
            }
        }
        self.run();
    }

    /// Lets the fiber work until it waits for the disk, or there is nothing to do.
    fn run(&mut self) {
        loop {
            let event = if let Some(mut progress) = self.progress.take() {
                progress.submit(&mut self.disk);
                if progress.under_way > 0 {
                    self.progress = Some(progress);
                    return;
                }
                self.exchange.go_on(if progress.failed { Err(Failed) } else { Ok(()) })
            } else {
                let Some((token, job)) = self.jobs.pop_front() else { return };
                self.current = Some(token);
                self.exchange.begin(job)
            };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Transfer(transfer)) => {
                self.progress = Some(Progress::new(transfer));
            }
            Some(Event::Mounted(Ok(has_journal))) => {
                self.state = State::Mounted;
                if !has_journal {
                    self.say(NO_JOURNAL);
                }
            }
            Some(Event::Mounted(Err(reason))) => self.state = State::Refused(reason),
            // `submit` has made room.
            Some(Event::Answered(again_ns)) => {
                self.done.extend(mem::take(&mut self.current));
                self.write_back_at(again_ns);
            }
            Some(Event::WrittenBack(again_ns)) => self.write_back_at(again_ns),
            Some(Event::Unmounted(outcome)) => {
                // For one that has refused a write there is a line.
                if outcome.is_err() && !self.exchange.has_failed() {
                    self.say(LOST);
                }
                self.state = State::Gone(outcome);
            }
            // The fiber always says why it is suspended.
            None => {}
        }
        if self.exchange.has_failed() && !mem::replace(&mut self.is_reported, true) {
            self.say(REFUSED);
        }
    }

    /// Notes when the fiber is to write back what is changed, in nanoseconds from 1970; `None` if nothing is.
    fn write_back_at(&mut self, at_ns: Option<u64>) {
        self.due_ns = at_ns.filter(|_| self.state == State::Mounted).map(|at_ns| {
            let wait_ns = at_ns.saturating_sub(husk::clock::realtime_ns()).min(AGE_NS);
            husk::clock::monotonic_ns().saturating_add(wait_ns)
        });
    }

    /// Prints a line for the user.
    #[cold]
    fn say(&self, what: &str) {
        husk::console::print(husk::console::ERROR, format_args!("husk: the disk '{}' {what}\n", self.name));
    }
}

impl Source for Volume {
    fn show(&mut self) -> bool {
        self.disk.show()
    }

    fn ready(&mut self) -> bool {
        !self.done.is_empty() || self.disk.ready()
    }

    fn watch(&self, watches: &mut Watches) {
        self.disk.watch(watches);
    }

    fn sleep(&mut self) -> bool {
        self.done.is_empty() && self.disk.sleep()
    }

    fn deadline_ns(&mut self) -> u64 {
        self.due_ns.unwrap_or(u64::MAX).min(self.mapped_due_ns)
    }
}
