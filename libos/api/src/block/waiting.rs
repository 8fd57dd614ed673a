//! Blocking requests, on memory that is borrowed until the completion.

#![expect(unsafe_code, reason = "the tender reads and writes memory while it is borrowed")]

use super::{Buffer, Disk, Error, Pending, bare, whole};
use crate::wait::{self, Source, Watches};
use husk_abi::block as operation;
use husk_abi::call::News;
use husk_abi::ring::Descriptor;

impl Disk {
    /// Reads into `into` from the byte `offset` on.
    pub fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let maximum = self.request_maximum();
        for (index, part) in into.chunks_mut(maximum).enumerate() {
            let at = further(offset, index * maximum)?;
            if self.takes(part) {
                self.wait_for(whole(operation::READ, at, part.as_mut_ptr() as u64, part.len()))?;
            } else {
                let mut buffer = Buffer::new(part.len());
                self.wait_for(whole(operation::READ, at, buffer.as_mut_ptr() as u64, part.len()))?;
                part.copy_from_slice(&buffer);
            }
        }
        Ok(())
    }

    /// Writes `from` from the byte `offset` on.
    pub fn write_at(&mut self, offset: u64, from: &[u8]) -> Result<(), Error> {
        let maximum = self.request_maximum();
        for (index, part) in from.chunks(maximum).enumerate() {
            let at = further(offset, index * maximum)?;
            if self.takes(part) {
                self.wait_for(whole(operation::WRITE, at, part.as_ptr() as u64, part.len()))?;
            } else {
                let mut buffer = Buffer::new(part.len());
                buffer.copy_from_slice(part);
                self.wait_for(whole(operation::WRITE, at, buffer.as_ptr() as u64, part.len()))?;
            }
        }
        Ok(())
    }

    /// Returns true if this memory has the alignment that the disk requires.
    fn takes(&self, memory: &[u8]) -> bool {
        (memory.as_ptr().addr() | memory.len()).is_multiple_of(self.properties.alignment as usize)
    }

    /// Makes completed writes durable.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.wait_for(bare(operation::FLUSH, 0, 0))
    }

    /// Makes `length` bytes from the byte `offset` on zeros, freeing their space.
    pub fn discard(&mut self, offset: u64, length: u64) -> Result<(), Error> {
        self.wait_for(bare(operation::DISCARD, offset, length))
    }

    /// Makes `length` bytes from the byte `offset` on zeros.
    pub fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<(), Error> {
        self.wait_for(bare(operation::WRITE_ZEROES, offset, length))
    }

    /// Carries out a request, blocking while its memory is borrowed.
    fn wait_for(&mut self, part: Descriptor) -> Result<(), Error> {
        loop {
            let pending = Pending { token: 0, buffer: None, awaited: true };
            // SAFETY: the caller has borrowed the memory, and this function does not return before the completion.
            if unsafe { self.submit(part, pending) }.is_some() {
                break;
            }
            // The queue is full: a completion of another request makes room.
            if self.take_up().is_none() {
                self.wait();
            }
        }
        self.offer();
        loop {
            match self.take_up() {
                Some(Some(result)) => return result,
                Some(None) => {}
                None => self.wait(),
            }
        }
    }

    /// Takes a completion, if there is one: returns the result of the awaited request, or queues another request's.
    fn take_up(&mut self) -> Option<Option<Result<(), Error>>> {
        let completion = self.queue.complete()?;
        let (pending, done) = self.conclude(&completion)?;
        if pending.awaited {
            return Some(Some(done.result));
        }
        self.done.push_back(done);
        Some(None)
    }

    /// Blocks until there is a completion.
    fn wait(&mut self) {
        wait::any(&mut [&mut Completions(self)], News::empty(), u64::MAX);
    }
}

/// Event source of a disk's completions alone.
struct Completions<'a>(&'a mut Disk);

impl Source for Completions<'_> {
    fn show(&mut self) -> bool {
        self.0.show()
    }

    fn ready(&mut self) -> bool {
        self.0.queue.has_completion()
    }

    fn watch(&self, watches: &mut Watches) {
        self.0.watch(watches);
    }

    fn sleep(&mut self) -> bool {
        self.0.queue.sleep()
    }
}

/// Returns the byte of the disk `count` behind `offset`.
fn further(offset: u64, count: usize) -> Result<u64, Error> {
    offset.checked_add(count as u64).ok_or(Error::Refused)
}
