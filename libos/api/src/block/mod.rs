//! Block devices: disks, read and written in sectors, with many requests under way at once.
//!
//! ```ignore
//! let mut disk = husk::block::Disk::open("data")?;
//! let mut sector = [0; 512];
//! disk.read_at(0, &mut sector)?;
//! disk.write_at(512, &sector)?;
//! disk.flush()?;
//! ```
//!
//! These functions block. A non-blocking request takes its buffer along and returns it with the completion:
//!
//! ```ignore
//! for number in 0..32 {
//!     disk.read(number * 4096, Buffer::new(4096), number).expect("there is room");
//! }
//! while let Some(done) = disk.next() {
//!     use_it(done.token, done.result, done.buffer);
//! }
//! ```
//!
//! A completion can be waited for ([`crate::wait`]). For durability see [`husk_abi::block`].

#![expect(unsafe_code, reason = "the tender reads and writes buffers while they are its own")]

mod buffer;
mod waiting;

use crate::device::{self, Error as NotOpen};
use crate::ring::Queue;
use crate::wait::{self, Source, Watches};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::forget;
use husk_abi::block::{self as operation, Block, Flags};
use husk_abi::note::device_kind;
use husk_abi::ring::{Completion, Descriptor, status};

pub use buffer::Buffer;

/// Reason why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host could not carry out the request.
    InputOutput,
    /// The request is not whole sectors of the disk, too long for one request, or a write to a read-only disk.
    Refused,
}

/// A completed request.
#[derive(Debug)]
pub struct Done {
    /// Token that the request was submitted with.
    pub token: u64,
    /// Buffer of the request, if it had one.
    pub buffer: Option<Buffer>,
    /// Outcome of the request.
    pub result: Result<(), Error>,
}

/// A disk that this program has opened, for as long as the program runs.
#[derive(Debug)]
pub struct Disk {
    queue: Queue,
    properties: &'static Block,
    /// Requests under way, by the number that identifies them to the tender.
    under_way: Vec<Option<Pending>>,
    /// Numbers that are not in use.
    free: Vec<u16>,
    /// Requests that completed during a wait for another.
    done: VecDeque<Done>,
    unpublished: usize,
    /// True if the tender must be woken for published requests, and has not been.
    owed: bool,
    /// True if the last query found no completed request.
    idle: bool,
}

/// A request under way.
#[derive(Debug)]
struct Pending {
    token: u64,
    buffer: Option<Buffer>,
    /// True if the caller blocks until this request completes.
    awaited: bool,
}

/// Number of requests after which they are published to the tender.
const BATCH: usize = 8;

impl Disk {
    /// Opens the block device `name`.
    pub fn open(name: &str) -> Result<Self, NotOpen> {
        let device = device::open(name, device_kind::BLOCK)?;
        let properties = device::block(device).ok_or(NotOpen::OtherKind)?;
        // SAFETY: the queue comes from the tender's table, and `device::open` opens a device once only.
        let queue = unsafe { Queue::new(&device.queues[0]) };
        let (under_way, free, done) = (Vec::new(), Vec::new(), VecDeque::new());
        Ok(Self { queue, properties, under_way, free, done, unpublished: 0, owed: false, idle: false })
    }

    /// Returns the disk's size in bytes.
    pub const fn size(&self) -> u64 {
        self.properties.size
    }

    /// Returns the bytes of a sector, the unit of reads and writes.
    pub const fn sector(&self) -> u32 {
        self.properties.sector
    }

    /// Returns the most bytes of one non-blocking request; blocking ones may be of any length.
    pub const fn request_maximum(&self) -> usize {
        self.properties.request_maximum as usize
    }

    /// Returns true if the disk is read-only.
    pub const fn is_read_only(&self) -> bool {
        self.properties.flags & Flags::READ_ONLY.bits() != 0
    }

    /// Returns all properties of the disk.
    pub const fn properties(&self) -> &'static Block {
        self.properties
    }

    /// Starts to read into `buffer` from the byte `offset` on. Returns the buffer if the queue is full.
    pub fn read(&mut self, offset: u64, buffer: Buffer, token: u64) -> Result<(), Buffer> {
        self.transfer(operation::READ, offset, buffer, token)
    }

    /// Starts to write `buffer` from the byte `offset` on. Returns the buffer if the queue is full.
    pub fn write(&mut self, offset: u64, buffer: Buffer, token: u64) -> Result<(), Buffer> {
        self.transfer(operation::WRITE, offset, buffer, token)
    }

    fn transfer(&mut self, operation: u16, offset: u64, mut buffer: Buffer, token: u64) -> Result<(), Buffer> {
        let part = whole(operation, offset, buffer.as_mut_ptr() as u64, buffer.len());
        // SAFETY: `under_way` keeps the buffer until the completion, and `drop` leaks it if the disk is dropped before.
        match unsafe { self.submit(part, Pending { token, buffer: None, awaited: false }) } {
            Some(number) => {
                if let Some(Some(pending)) = self.under_way.get_mut(number) {
                    pending.buffer = Some(buffer);
                }
                Ok(())
            }
            None => Err(buffer),
        }
    }

    /// Starts to make completed writes durable. Returns true if there was room for the request.
    pub fn start_flush(&mut self, token: u64) -> bool {
        self.start_bare(operation::FLUSH, 0, 0, token)
    }

    /// Starts to make `length` bytes from the byte `offset` on zeros, freeing their space. Returns true if there was room for
    /// the request.
    pub fn start_discard(&mut self, offset: u64, length: u64, token: u64) -> bool {
        self.start_bare(operation::DISCARD, offset, length, token)
    }

    /// Starts to make `length` bytes from the byte `offset` on zeros. Returns true if there was room for the request.
    pub fn start_zeroes(&mut self, offset: u64, length: u64, token: u64) -> bool {
        self.start_bare(operation::WRITE_ZEROES, offset, length, token)
    }

    fn start_bare(&mut self, operation: u16, offset: u64, length: u64, token: u64) -> bool {
        let part = bare(operation, offset, length);
        // SAFETY: the request names no memory.
        unsafe { self.submit(part, Pending { token, buffer: None, awaited: false }) }.is_some()
    }

    /// Submits a request of one part. Returns its number, if there was room.
    ///
    /// # Safety
    ///
    /// The request's memory is not accessed before the request is completed.
    unsafe fn submit(&mut self, part: Descriptor, pending: Pending) -> Option<usize> {
        let number = match self.free.pop() {
            Some(number) => usize::from(number),
            None if self.under_way.len() < self.queue.entries() as usize => {
                self.under_way.push(None);
                self.under_way.len() - 1
            }
            None => return None,
        };
        // SAFETY: the caller guarantees that the memory of `part` is not accessed before the completion.
        if !unsafe { self.queue.submit(&[Descriptor { token: number as u64, ..part }]) } {
            self.free.push(number as u16);
            return None;
        }
        self.under_way[number] = Some(pending);
        self.unpublished += 1;
        if self.unpublished >= BATCH {
            self.offer();
        }
        Some(number)
    }

    /// Makes the tender begin the started requests. Waiting does so too.
    pub fn publish(&mut self) {
        self.offer();
        if core::mem::take(&mut self.owed) {
            device::ring_doorbell();
        }
    }

    /// Publishes the started requests, and wakes the tender if it serves the devices while the guest runs. If not, the tender
    /// begins when the guest waits, or with [`Disk::publish`].
    pub fn offer(&mut self) {
        if self.unpublished > 0 {
            self.unpublished = 0;
            self.owed |= self.queue.show();
        }
        if self.owed && wait::is_served() {
            self.owed = false;
            device::ring_doorbell();
        }
    }

    /// Makes the tender carry out the started requests at once, where that costs next to nothing, or else polls for it while it runs
    /// beside the guest. Returns true if a request may have been completed.
    pub fn serve(&mut self) -> bool {
        self.offer();
        if wait::serve_near() {
            self.owed = false;
            return true;
        }
        wait::poll_for(self)
    }

    /// Returns a completed request, if there is one.
    #[expect(clippy::should_implement_trait, reason = "a disk is no iterator: there may be more later")]
    pub fn next(&mut self) -> Option<Done> {
        if let Some(done) = self.done.pop_front() {
            return Some(done);
        }
        if let Some(completion) = self.queue.complete() {
            self.idle = false;
            return self.conclude(&completion).map(|(_, done)| done);
        }
        // A caller that asks twice may not be about to wait.
        match core::mem::replace(&mut self.idle, true) {
            true => self.publish(),
            false => self.offer(),
        }
        None
    }

    /// Returns the request of a completion, and its outcome.
    fn conclude(&mut self, completion: &Completion) -> Option<(Pending, Done)> {
        let number = completion.token as usize;
        let mut pending = self.under_way.get_mut(number)?.take()?;
        self.free.push(number as u16);
        let (token, buffer) = (pending.token, pending.buffer.take());
        Some((pending, Done { token, buffer, result: result(completion) }))
    }

    /// Starts a request on memory that the caller is responsible for; [`Disk::completed`] reports it under its token. Only
    /// [`Disk::publish`] and waiting may be used besides. Returns true if there was room for the request.
    ///
    /// # Safety
    ///
    /// The memory that the parts name is not accessed before the request is completed.
    pub unsafe fn submit_parts(&mut self, parts: &[Descriptor]) -> bool {
        self.unpublished += 1;
        // SAFETY: the caller guarantees that the memory of the parts is not accessed before the completion.
        unsafe { self.queue.submit(parts) }
    }

    /// Returns the token and the outcome of a completed request of [`Disk::submit_parts`].
    pub fn completed(&mut self) -> Option<(u64, Result<(), Error>)> {
        self.queue.complete().map(|completion| (completion.token, result(&completion)))
    }
}

impl Source for Disk {
    fn show(&mut self) -> bool {
        self.offer();
        self.idle = false;
        core::mem::take(&mut self.owed) || wait::is_trial()
    }

    fn ready(&mut self) -> bool {
        !self.done.is_empty() || self.queue.has_completion()
    }

    fn watch(&self, watches: &mut Watches) {
        self.queue.watch_beat(watches);
        self.queue.watch(watches);
    }

    fn sleep(&mut self) -> bool {
        self.done.is_empty() && self.queue.sleep()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The tender may still use the buffers of these requests.
        self.under_way.drain(..).for_each(forget);
    }
}

/// Returns a request without memory.
pub fn bare(operation: u16, offset: u64, length: u64) -> Descriptor {
    Descriptor { address: length, operation, detail: offset, ..Descriptor::default() }
}

/// Returns a request of one part.
fn whole(operation: u16, offset: u64, address: u64, length: usize) -> Descriptor {
    Descriptor { address, length: length as u32, operation, detail: offset, ..Descriptor::default() }
}

fn result(completion: &Completion) -> Result<(), Error> {
    match completion.status {
        status::DONE => Ok(()),
        status::REFUSED => Err(Error::Refused),
        _ => Err(Error::InputOutput),
    }
}
