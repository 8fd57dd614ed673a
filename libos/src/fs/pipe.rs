//! Pipes: bytes on their way from writers to readers.

use super::description::Access;
use super::opening::Opening;
use super::quota::Quota;
use super::ready::Ready;
use super::source::Source;
use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;

/// Bytes that a pipe holds.
pub const CAPACITY: usize = 64 << 10;
/// Writes of at most this many bytes are atomic (`PIPE_BUF`).
const WHOLE: usize = 4096;

/// Contents and ends of a pipe.
#[derive(Debug, Default)]
pub struct Pipe {
    /// A ring of [`CAPACITY`] bytes, made with the first write.
    ring: Vec<u8>,
    start: usize,
    length: usize,
    readers: u32,
    writers: u32,
    /// Number of readers that there have ever been, and of writers.
    ever: [u64; 2],
}

impl Pipe {
    /// Number of bytes to read.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Memory that the pipe takes, in bytes.
    pub fn cost(&self) -> u64 {
        self.ring.len() as u64
    }

    /// Returns true if the pipe is open for reading.
    pub fn has_readers(&self) -> bool {
        self.readers > 0
    }

    /// Number of open descriptions of the other end, and the number there have ever been.
    fn other_end(&self, access: Access) -> Option<(u32, u64)> {
        match access {
            Access::READ => Some((self.writers, self.ever[1])),
            Access::WRITE => Some((self.readers, self.ever[0])),
            _ => None,
        }
    }

    fn take(&mut self, into: Slice) -> Result<u64, Errno> {
        let wanted = into.length.min(self.length as u64);
        let mut done = 0;
        while done < wanted {
            let part = (CAPACITY - self.start).min((wanted - done) as usize);
            into.after(done).copy_in(&self.ring[self.start..self.start + part])?;
            self.start = (self.start + part) % CAPACITY;
            self.length -= part;
            done += part as u64;
        }
        Ok(done)
    }

    fn put(&mut self, quota: &mut Quota, from: Source<'_>) -> Result<u64, Errno> {
        from.check()?;
        if self.ring.is_empty() {
            self.ring.try_reserve_exact(CAPACITY).map_err(|_| Errno::ENOMEM)?;
            quota.take(CAPACITY as u64).map_err(|_| Errno::ENOMEM)?;
            self.ring.resize(CAPACITY, 0);
        }
        let room = from.length().min((CAPACITY - self.length) as u64);
        let mut done = 0;
        while done < room {
            let at = (self.start + self.length) % CAPACITY;
            let part = (CAPACITY - at).min((room - done) as usize);
            from.after(done).first(part as u64).copy_to(&mut self.ring[at..at + part])?;
            self.length += part;
            done += part as u64;
        }
        Ok(done)
    }

    fn has_room(&self) -> bool {
        CAPACITY - self.length >= WHOLE
    }

    /// Counts a reader or writer that is being opened.
    pub fn opened(&mut self, access: Access) {
        self.readers += u32::from(access.contains(Access::READ));
        self.writers += u32::from(access.contains(Access::WRITE));
        self.ever[0] += u64::from(access.contains(Access::READ));
        self.ever[1] += u64::from(access.contains(Access::WRITE));
    }

    /// Uncounts a reader or writer that has been closed. Returns the events that this is for the other end.
    pub fn closed(&mut self, access: Access) -> Ready {
        self.readers -= u32::from(access.contains(Access::READ));
        self.writers -= u32::from(access.contains(Access::WRITE));
        let mut gone = Ready::empty();
        gone.set(Ready::OUT | Ready::ERROR, self.readers == 0);
        gone.set(Ready::IN | Ready::HANG_UP, self.writers == 0);
        gone
    }

    /// Returns the open(2) that has to wait for the other end, if `descriptor`, opened for this access just now, has to.
    pub fn opening(&self, descriptor: i32, access: Access) -> Option<Opening> {
        let (now, others) = self.other_end(access)?;
        (now == 0).then_some(Opening { descriptor, others })
    }

    /// Returns true once the other end has been opened since `opening`.
    pub fn is_met(&self, opening: Opening, access: Access) -> bool {
        self.other_end(access).is_none_or(|(_, others)| others != opening.others)
    }

    /// Events that a description with this access is ready for.
    pub fn ready(&self, access: Access) -> Ready {
        let mut ready = Ready::empty();
        if access.contains(Access::READ) {
            ready.set(Ready::IN, self.length > 0);
            ready.set(Ready::HANG_UP, self.writers == 0);
        }
        if access.contains(Access::WRITE) {
            ready.set(Ready::OUT, self.has_room());
            ready.set(Ready::ERROR, self.readers == 0);
        }
        ready
    }

    /// Reads what there is; EAGAIN if that is nothing and there is a writer. Returns the count, and the events that it causes.
    pub fn read(&mut self, into: Slice) -> Result<(u64, Ready), Errno> {
        if into.is_empty() || (self.length == 0 && self.writers == 0) {
            return Ok((0, Ready::empty()));
        }
        if self.length == 0 {
            return Err(Errno::EAGAIN);
        }
        let was_full = !self.has_room();
        let count = self.take(into)?;
        let room = was_full && self.has_room();
        Ok((count, if room { Ready::OUT } else { Ready::empty() }))
    }

    /// Writes as much as there is room for; EAGAIN if that is nothing, or not all of a write that is atomic. Returns the count,
    /// and the events that it causes.
    pub fn write(&mut self, quota: &mut Quota, from: Source<'_>) -> Result<(u64, Ready), Errno> {
        if from.length() == 0 {
            return Ok((0, Ready::empty()));
        }
        if self.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let room = (CAPACITY - self.length) as u64;
        if from.length() > room && (room == 0 || from.length() <= WHOLE as u64) {
            return Err(Errno::EAGAIN);
        }
        Ok((self.put(quota, from)?, Ready::IN))
    }
}
