//! Exchange between a volume's fiber and the libos: jobs one way, events the other.

#![expect(unsafe_code, reason = "a fiber shares state with the code that resumes it")]

use crate::arch::fiber::Stacks;
use crate::user::Slice;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use husk_ext4::{Failed, Options};

/// Work for the fiber.
#[derive(Debug)]
pub enum Job {
    /// Mounts the volume; the first job.
    Mount(Options),
    /// Answers a request: its operation and its parts.
    Answer(u16, Vec<Slice>),
    /// Writes back what has been changed for long enough.
    WriteBack,
    /// Writes back all, and marks the volume as unmounted; the last job.
    Unmount,
}

/// Reason for which the fiber is suspended.
#[derive(Debug)]
pub enum Event {
    /// A request to the disk, whose end the fiber waits for.
    Transfer(Transfer),
    /// The volume is mounted, with a journal or without, or the reason why it is not.
    Mounted(Result<bool, String>),
    /// The request has its answer; the time as of [`Event::WrittenBack`].
    Answered(Option<u64>),
    /// What was due is written back; the time of the next call in nanoseconds from 1970, if one is needed.
    WrittenBack(Option<u64>),
    /// The volume is unmounted, or could not be.
    Unmounted(Result<(), Failed>),
}

/// Request to the disk.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Operation of the disk: one of [`husk::abi::block`].
    pub operation: u16,
    /// Byte of the disk.
    pub offset: u64,
    /// Memory, aligned as the disk requires; empty for a flush.
    pub memory: Slice,
}

/// The place of the exchange. It lies at one address for as long as the guest runs.
pub struct Exchange {
    stacks: UnsafeCell<Stacks>,
    job: Cell<Option<Job>>,
    event: Cell<Option<Event>>,
    outcome: Cell<Result<(), Failed>>,
    failed: Cell<bool>,
}

// SAFETY: the fiber runs only while it is resumed, and it is resumed with the lock of the libos held; so one side at a time, on one
// processor, uses the exchange.
unsafe impl Sync for Exchange {}

impl Exchange {
    /// Returns an exchange without a fiber.
    pub fn new() -> Self {
        let stacks = UnsafeCell::new(Stacks::EMPTY);
        Self {
            stacks,
            job: Cell::default(),
            event: Cell::default(),
            outcome: Cell::new(Ok(())),
            failed: Cell::new(false),
        }
    }

    /// Gives the exchange a fiber, which will run `main(argument)`. Called once, before anything else.
    ///
    /// # Safety
    ///
    /// As for [`Stacks::new`].
    pub unsafe fn start(&self, top: u64, main: extern "sysv64" fn(u64) -> !, argument: u64) {
        // SAFETY: the caller guarantees what `new` requires.
        let stacks = unsafe { Stacks::new(top, main, argument) };
        // SAFETY: there is no fiber yet that could use the stacks.
        unsafe { self.stacks.get().write(stacks) };
    }

    /// Makes the fiber do this job. Returns what it is suspended for.
    pub fn begin(&self, job: Job) -> Option<Event> {
        self.job.set(Some(job));
        self.resume()
    }

    /// Hands the outcome of its request to the fiber. Returns what it is suspended for next.
    pub fn go_on(&self, outcome: Result<(), Failed>) -> Option<Event> {
        self.outcome.set(outcome);
        self.resume()
    }

    fn resume(&self) -> Option<Event> {
        // SAFETY: only the libos calls this, and it runs only while the fiber is suspended.
        unsafe { Stacks::resume(self.stacks.get()) };
        self.event.take()
    }

    /// The job of the fiber, which calls this.
    pub fn job(&self) -> Option<Job> {
        self.job.take()
    }

    /// Notes that the disk has refused a write.
    pub fn fail(&self) {
        self.failed.set(true);
    }

    /// Returns true if the disk has refused a write.
    pub fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// Suspends the fiber, which calls this. Returns the outcome of its request.
    pub fn suspend(&self, event: Event) -> Result<(), Failed> {
        self.event.set(Some(event));
        // SAFETY: only the fiber calls this.
        unsafe { Stacks::suspend(self.stacks.get()) };
        self.outcome.replace(Ok(()))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
