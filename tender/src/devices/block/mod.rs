//! Block devices: requests of a guest's queue, carried out on a file or a block device of the host
//! ([`husk_abi::block`]).
//!
//! A request that the disk does not refuse becomes `work` of one or several steps, which an `engine` carries out. As
//! many requests are under way as the queue is long; no answer waits for another.

#![expect(unsafe_code, reason = "steps name guest memory by address")]

mod disk;
mod engine;
mod options;
mod uring;
mod work;

use super::limit::{Bucket, Rate};
use super::ring::{Broken, Need, Operations, Queue, Request, Violation};
use super::{Device, Progress};
use crate::clock::monotonic_ns;
use crate::error::Error;
use crate::memory::Memory;
use disk::Disk;
use engine::{Engine, InTurn};
use husk_abi::block::{Block, DISCARD, FLUSH, Flags, READ, WRITE, WRITE_ZEROES};
use husk_abi::memory::Rights;
use husk_abi::ring::status;
pub use options::Options;
use std::fs::File;
use std::os::fd::RawFd;
use std::sync::Arc;
use uring::Uring;
use work::{Next, Work};

/// Requests that are taken before other devices have their turn.
const BATCH: usize = 64;

/// A block device that is open.
#[derive(Debug)]
pub struct Drive {
    disk: Disk,
    /// How many bytes a second it may move, and how many requests begin.
    limits: [Option<Rate>; 2],
}

impl Drive {
    /// Opens what `options` say, for the device `name`.
    pub fn open(name: &str, options: &Options) -> Result<Self, Error> {
        let disk = Disk::open(options).map_err(|reason| Error::Device { name: name.to_owned(), reason })?;
        Ok(Self { disk, limits: [options.rate, options.operations] })
    }

    /// What the guest is told.
    pub fn properties(&self) -> &Block {
        &self.disk.properties
    }
}

/// What the operations of a disk do with memory.
fn need(operation: u16) -> Option<Need> {
    match operation {
        READ => Some(Need::Memory(Rights::READ | Rights::WRITE)),
        WRITE => Some(Need::Memory(Rights::READ)),
        FLUSH | DISCARD | WRITE_ZEROES => Some(Need::Nothing),
        _ => None,
    }
}

/// A block device with its queue.
#[derive(Debug)]
pub struct Served {
    memory: Arc<Memory>,
    queue: Queue,
    properties: Block,
    file: Arc<File>,
    /// As many steps as that are under way at once.
    entries: u32,
    /// Made for the first request: many guests attach more than they use.
    engine: Option<Box<dyn Engine>>,
    /// The host has seen all steps that were started.
    seen: bool,
    /// Requests under way, by the number of their step; they do not move meanwhile.
    work: Vec<Option<Box<Work>>>,
    /// Numbers that are not in use.
    free: Vec<usize>,
    limits: [Bucket; 2],
    /// Monotonic time at which a limit lets more through that was met, in nanoseconds, or 0.
    limited_until_ns: u64,
}

impl Served {
    /// Connects `drive` with its queue.
    pub fn new(drive: Drive, memory: &Arc<Memory>, place: husk_abi::device::Queue) -> Self {
        Self {
            queue: Queue::of("request", Operations::Several(need), memory, place),
            memory: Arc::clone(memory),
            properties: drive.disk.properties,
            file: Arc::new(drive.disk.file),
            entries: place.entries,
            engine: None,
            seen: true,
            work: Vec::new(),
            free: Vec::new(),
            limits: drive.limits.map(|rate| Bucket::new(rate, monotonic_ns())),
            limited_until_ns: 0,
        }
    }

    /// Whether a limit lets nothing through at the moment.
    fn is_limited(&mut self) -> bool {
        self.limited_until_ns = 0;
        if self.limits.iter().any(Bucket::is_bounded) {
            let now_ns = monotonic_ns();
            let opens_ns = self.limits.iter_mut().map(|limit| limit.opens_ns(now_ns)).max().unwrap_or(now_ns);
            self.limited_until_ns = if opens_ns > now_ns { opens_ns } else { 0 };
        }
        self.limited_until_ns > 0
    }

    /// Takes requests. How many those were.
    fn take(&mut self) -> Result<usize, Broken> {
        for count in 0..BATCH {
            if self.is_limited() {
                return Ok(count);
            }
            if self.engine.as_mut().is_some_and(|engine| !engine.has_room()) {
                return Ok(count);
            }
            let Some(request) = self.queue.next(&self.memory)? else { return Ok(count) };
            self.begin(&request)?;
        }
        Ok(BATCH)
    }

    fn begin(&mut self, request: &Request) -> Result<(), Broken> {
        let range = match self.range(request)? {
            Some(range) => range,
            None => {
                self.queue.complete(request.token, 0, status::REFUSED);
                return Ok(());
            }
        };
        let [bytes, operations] = &mut self.limits;
        bytes.take(request.parts.length());
        operations.take(1);
        match Work::new(request.token, request.operation, request.address, &request.parts, range) {
            Some(work) => self.start(Box::new(work)),
            None => self.queue.complete(request.token, 0, status::DONE),
        }
        Ok(())
    }

    /// Which bytes of the disk a request is about; nothing if it is to be refused.
    fn range(&self, request: &Request) -> Result<Option<(u64, u64)>, Broken> {
        let disk = &self.properties;
        let (offset, memory) = (request.detail, request.parts.length());
        let length = match request.operation {
            FLUSH => {
                let odd = [offset, request.address].into_iter().find(|number| *number != 0);
                return odd.map_or(Ok(Some((0, 0))), |odd| Err(self.queue.broken(Violation::Detail(odd))));
            }
            DISCARD | WRITE_ZEROES => request.address,
            _ => memory as u64,
        };
        let alignment = disk.alignment as usize;
        let is_aligned = |part: super::ring::Part| (part.start.addr().get() | part.length).is_multiple_of(alignment);
        let changes = request.operation != READ && disk.flags & Flags::READ_ONLY.bits() != 0;
        let possible = disk.holds(offset, length)
            && memory <= disk.request_maximum as usize
            && !changes
            && request.parts.iter().all(is_aligned);
        Ok(possible.then_some((offset, length)))
    }

    fn start(&mut self, work: Box<Work>) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.work.push(None);
            self.work.len() - 1
        });
        let step = self.work[number].insert(work).step();
        let engine = self.engine.get_or_insert_with(|| engine(&self.file, self.entries));
        // SAFETY: the step names guest memory, which stays mapped, static memory, and vectors in the box, which stays
        // where it is until the result is told.
        unsafe { engine.start(number, step) };
    }

    /// Takes in results. How many those were.
    fn finish(&mut self) -> Result<usize, Broken> {
        let Some(engine) = &mut self.engine else { return Ok(0) };
        engine.submit();
        let mut results = 0;
        while results < BATCH
            && let Some((number, result)) = engine.next()
        {
            results += 1;
            let Some(work) = self.work.get_mut(number).and_then(Option::as_mut) else { continue };
            match work.went(result) {
                // SAFETY: as for the first step.
                Next::Step => unsafe { engine.start(number, work.step()) },
                Next::Unreachable => return Err(self.queue.broken(Violation::Unreachable { address: work.address })),
                Next::End(length, status) => {
                    self.queue.complete(work.token, length, status);
                    self.work[number] = None;
                    self.free.push(number);
                }
            }
        }
        self.seen = engine.submit();
        Ok(results)
    }

    /// Requests under way.
    fn under_way(&self) -> usize {
        self.work.len() - self.free.len()
    }
}

/// Whatever works here.
fn engine(file: &Arc<File>, steps: u32) -> Box<dyn Engine> {
    match Uring::new(file, steps) {
        Ok(uring) => Box::new(uring),
        // Old, forbidden, or short of memory that may be locked: it goes without.
        Err(_) => Box::new(InTurn::new(file)),
    }
}

impl Device for Served {
    fn serve(&mut self) -> Result<Progress, Broken> {
        let taken = self.take()?;
        let results = self.finish()?;
        // What was refused is shown too.
        let wake = (taken > 0 || results > 0) && self.queue.publish();
        Ok(Progress { done: taken > 0 || results > 0, wake })
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        Ok(self.seen && (self.limited_until_ns > 0 || self.queue.sleep()?))
    }

    fn file(&self) -> (RawFd, i16) {
        match &self.engine {
            Some(engine) if self.under_way() > 0 => (engine.file(), libc::POLLIN),
            _ => (-1, 0),
        }
    }

    fn deadline_ns(&self) -> u64 {
        if self.limited_until_ns > 0 { self.limited_until_ns } else { u64::MAX }
    }
}
