//! Block devices: requests of a guest's queue, carried out on a file or a block device of the host ([`husk_abi::block`]).
//!
//! A request that the disk does not refuse takes one or several steps (`in_flight`). A step that the page cache can serve is
//! carried out at once (`nonblocking`), by the thread that serves the device; an `engine` carries out the rest. Up to a full
//! queue of requests is in flight; completions come out of order.

#![expect(unsafe_code, reason = "steps name guest memory by address")]

mod disk;
mod engine;
mod in_flight;
mod nonblocking;
mod options;
mod page_cache;
mod uring;

use super::device::{Device, NotSaved, Progress, State};
use super::limit::{Bucket, Rate};
use super::mount::Mount;
use super::ring::{Broken, Cursors, Need, Operations, Parts, Queue, Request, Violation};
use crate::confine::{Descriptors, Role};
use crate::host::time::monotonic_ns;
use crate::memory::Memory;
use disk::Disk;
use engine::{Engine, Step, SyncEngine};
use husk_abi::block::{Block, DISCARD, FLUSH, Flags, READ, WRITE, WRITE_ZEROES};
use husk_abi::memory::Rights;
use husk_abi::ring::status;
use in_flight::{InFlight, Next};
use nonblocking::NonBlocking;
pub use options::Options;
use page_cache::PageCacheMap;
use std::fs::File;
use std::os::fd::RawFd;
use std::sync::Arc;
pub use uring::Uring;
use zerocopy::IntoBytes;

/// Requests taken before other devices are served.
const BATCH: usize = 64;
/// Steps of one request that are carried out at once. Writing zeros to a whole disk takes a step for each part of it: the
/// engine carries out the rest, while other devices are served.
const STEPS: usize = 8;
/// Completions are published every so many requests, so that a running guest sees them before the batch ends.
const SHOWN: usize = 4;

/// A block device that is open.
#[derive(Debug)]
pub struct Drive {
    disk: Disk,
    /// What the guest reads of the disk: a [`Block`], and its mount.
    properties: Vec<u8>,
    /// Most bytes moved and most requests begun per second.
    limits: [Option<Rate>; 2],
}

impl Drive {
    /// Opens the disk that `options` describe.
    pub fn open(options: &Options) -> Result<Self, String> {
        let disk = Disk::open(options)?;
        let mut properties = disk.properties.as_bytes().to_vec();
        properties.extend(options.mount.iter().flat_map(Mount::properties));
        Ok(Self { disk, properties, limits: [options.rate, options.operations] })
    }

    /// Properties that the guest reads.
    pub fn properties(&self) -> &[u8] {
        &self.properties
    }
}

/// Need of memory of each operation of a disk.
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
    /// Memory of the request that is being begun.
    parts: Parts,
    /// Engine, created with the device: no thread can create one once the guest runs.
    engine: Box<dyn Engine>,
    /// Started steps have all been submitted to the host.
    submitted: bool,
    /// Limits of bytes read and written, and of requests.
    limits: [Bucket; 2],
    /// Monotonic time at which the limits let more pass, if one was reached, in nanoseconds; else 0.
    limited_until_ns: u64,
    /// Steps that take no waiting.
    nonblocking: NonBlocking,
    /// Requests with a next step that has to wait, and the number of steps in the engine.
    queued: Vec<usize>,
    started: usize,
    /// Requests under way, by the number of their step; boxed, because they must not move.
    in_flight: Vec<Option<Box<InFlight>>>,
    /// Numbers that are not in use.
    free: Vec<usize>,
}

impl Served {
    /// Connects `drive` with its queue.
    pub fn new(drive: Drive, memory: &Arc<Memory>, place: husk_abi::device::Queue) -> Self {
        let file = Arc::new(drive.disk.file);
        let is_direct = drive.disk.properties.alignment > 1;
        // No mapping under a limit: as a process (spt), a guest could read the mapping by itself, past all limits.
        let is_limited = drive.limits.iter().any(Option::is_some);
        let page_cache =
            if is_direct || is_limited { None } else { PageCacheMap::new(&file, drive.disk.properties.size) };
        Self {
            queue: Queue::of("request", Operations::Several(need), memory, place),
            memory: Arc::clone(memory),
            properties: drive.disk.properties,
            parts: Parts::default(),
            engine: engine(&file, place.entries),
            file,
            submitted: true,
            limits: drive.limits.map(|rate| Bucket::new(rate, monotonic_ns())),
            limited_until_ns: 0,
            nonblocking: NonBlocking::new(is_direct, page_cache),
            queued: Vec::new(),
            started: 0,
            in_flight: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Serves with the engine for hosts without io_uring.
    #[cfg(test)]
    pub fn without_uring(mut self) -> Self {
        self.engine = Box::new(SyncEngine::new(&self.file));
        self
    }

    /// Takes requests, and publishes completions after every `shown` of them.
    fn take(&mut self, shown: usize) -> Result<Progress, Broken> {
        let mut progress = Progress::default();
        self.nonblocking.begin();
        for count in 1..=BATCH {
            if self.is_limited() {
                break;
            }
            let Some(request) = self.queue.next(&self.memory, &mut self.parts)? else { break };
            self.begin(&request)?;
            progress.full = count == BATCH;
            let [bytes, operations] = &mut self.limits;
            bytes.take(self.parts.length());
            operations.take(1);
            progress.done = true;
            if count % shown == 0 {
                progress.wake |= self.queue.publish();
            }
        }
        progress.wake |= progress.done && self.queue.publish();
        Ok(progress)
    }

    /// Returns true if a limit lets nothing pass at the moment.
    fn is_limited(&mut self) -> bool {
        if !self.limits.iter().any(Bucket::is_bounded) {
            return false;
        }
        let now_ns = monotonic_ns();
        let opens_ns = self.limits.iter_mut().map(|limit| limit.opens_ns(now_ns)).max().unwrap_or(now_ns);
        self.limited_until_ns = if opens_ns > now_ns { opens_ns } else { 0 };
        self.limited_until_ns > 0
    }

    fn begin(&mut self, request: &Request) -> Result<(), Broken> {
        let range = match self.range(request)? {
            Some(range) => range,
            None => {
                self.queue.complete(request.token, 0, status::REFUSED);
                return Ok(());
            }
        };
        if let Some(length) = self.try_now(request, range.0) {
            self.queue.complete(request.token, length, status::DONE);
            return Ok(());
        }
        match InFlight::new(request.token, request.operation, request.address, &self.parts, range) {
            Some(request) => self.start(Box::new(request)),
            None => {
                self.queue.complete(request.token, 0, status::DONE);
                Ok(())
            }
        }
    }

    /// Carries out a request of one part, if that takes no waiting: enough for most requests. Returns its length, if all of it
    /// was done.
    fn try_now(&mut self, request: &Request, offset: u64) -> Option<usize> {
        let part = self.parts.only()?;
        let (address, length) = (part.start.as_ptr(), part.length);
        let step = match request.operation {
            READ => Step::Read { address, length, offset },
            WRITE => Step::Write { address, length, offset },
            _ => return None,
        };
        // SAFETY: `parts` names checked guest memory, which stays mapped.
        let result = unsafe { self.nonblocking.carry_out(&self.file, step) };
        (result == Some(Ok(length))).then_some(length)
    }

    /// Range of the disk, as offset and length, that a request names; `None` if the request is to be refused.
    fn range(&self, request: &Request) -> Result<Option<(u64, u64)>, Broken> {
        let disk = &self.properties;
        let (offset, memory) = (request.detail, self.parts.length());
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
            && self.parts.iter().all(is_aligned);
        Ok(possible.then_some((offset, length)))
    }

    fn start(&mut self, request: Box<InFlight>) -> Result<(), Broken> {
        let number = self.free.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        });
        self.in_flight[number] = Some(request);
        self.advance(number)
    }

    /// Carries out the steps of a request as far as they take no waiting, and queues the next one for the engine.
    fn advance(&mut self, number: usize) -> Result<(), Broken> {
        for _ in 0..STEPS {
            let Some(step) = self.step(number) else { return Ok(()) };
            // SAFETY: the step names guest memory, which stays mapped, static memory, and vectors in a box that stays.
            let Some(result) = (unsafe { self.nonblocking.carry_out(&self.file, step) }) else { break };
            self.on_complete(number, result)?;
        }
        if self.step(number).is_some() {
            self.queued.push(number);
        }
        Ok(())
    }

    /// Returns the next step of a request, if it is not done.
    fn step(&self, number: usize) -> Option<Step> {
        self.in_flight.get(number)?.as_ref().map(|request| request.step())
    }

    /// Starts the steps that have to wait in the engine, which posts their results to the calling thread.
    fn start_waiting(&mut self) {
        while let Some(number) = self.queued.pop() {
            let Some(step) = self.step(number) else { continue };
            if !self.engine.has_room() {
                self.queued.push(number);
                return;
            }
            // SAFETY: the step names guest memory, which stays mapped, static memory, and vectors in a box that stays until the
            // result.
            unsafe { self.engine.start(number, step) };
            self.started += 1;
        }
    }

    /// Takes the result of a request's step; removes the request if that was the last.
    fn on_complete(&mut self, number: usize, result: Result<usize, i32>) -> Result<(), Broken> {
        let Some(request) = self.in_flight.get_mut(number).and_then(Option::as_mut) else { return Ok(()) };
        // Zeros that have to be written count against the limit too: later requests wait for them.
        self.limits[0].take(request.zeros(result));
        match request.on_complete(result) {
            Next::Step => {}
            Next::Unreachable => return Err(self.queue.broken(Violation::Unreachable { address: request.address })),
            Next::End(length, status) => {
                self.queue.complete(request.token, length, status);
                self.in_flight[number] = None;
                self.free.push(number);
            }
        }
        Ok(())
    }

    /// Takes results from the engine. Returns their number.
    fn reap(&mut self) -> Result<usize, Broken> {
        let mut results = 0;
        self.submit();
        while results < BATCH
            && let Some((number, result)) = self.engine.next()
        {
            self.started -= 1;
            results += 1;
            self.on_complete(number, result)?;
            self.advance(number)?;
        }
        self.submit();
        Ok(results)
    }

    /// Takes requests and results, and publishes completions after every `shown` requests.
    fn serve_and_show(&mut self, shown: usize) -> Result<Progress, Broken> {
        let mut progress = self.take(shown)?;
        progress |= self.drain()?;
        Ok(progress)
    }

    fn submit(&mut self) {
        self.start_waiting();
        self.submitted = self.engine.submit();
    }
}

/// Best engine that this host allows.
fn engine(file: &Arc<File>, steps: u32) -> Box<dyn Engine> {
    match Uring::new(file, steps) {
        Ok(uring) => Box::new(uring),
        // The kernel is old, forbids io_uring, or allows too little locked memory.
        Err(_) => Box::new(SyncEngine::new(file)),
    }
}

impl Device for Served {
    fn serve(&mut self) -> Result<Progress, Broken> {
        self.serve_and_show(SHOWN)
    }

    fn serve_nonblocking(&mut self) -> Result<Progress, Broken> {
        if !self.engine.is_blocking() {
            return self.serve_and_show(BATCH);
        }
        let progress = self.take(BATCH)?;
        Ok(Progress { blocks: self.started > 0 || !self.queued.is_empty(), ..progress })
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        // Under a limit, the device waits for its deadline instead of a ring.
        Ok(self.submitted && self.queued.is_empty() && (self.limited_until_ns > 0 || self.queue.sleep()?))
    }

    fn beat(&mut self) {
        self.queue.beat();
    }

    fn file(&self) -> (RawFd, i16) {
        match self.started {
            0 => (-1, 0),
            _ => (self.engine.file(), libc::POLLIN),
        }
    }

    fn deadline_ns(&self) -> u64 {
        if self.limited_until_ns > 0 { self.limited_until_ns } else { u64::MAX }
    }

    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Disk, &*self.file);
        let ring = Some(self.engine.file()).filter(|ring| *ring >= 0);
        ring.iter().for_each(|ring| descriptors.add(Role::Ring, ring));
    }

    fn drain(&mut self) -> Result<Progress, Broken> {
        let done = self.reap()? > 0;
        Ok(Progress { done, wake: done && self.queue.publish(), ..Progress::default() })
    }

    fn is_idle(&self) -> bool {
        self.started == 0 && self.queued.is_empty()
    }

    fn state(&self) -> Result<State, NotSaved> {
        let queues = [self.queue.cursors(), Cursors::default()];
        Ok(State { queues, levels: self.limits.each_ref().map(Bucket::level) })
    }

    fn restore(&mut self, state: &State) -> Result<(), Broken> {
        self.queue.restore(state.queues[0])?;
        let now_ns = monotonic_ns();
        self.limits.iter_mut().zip(state.levels).for_each(|(limit, level)| limit.restore(level, now_ns));
        Ok(())
    }
}
