//! Event counters: eventfd(2).

use super::ready::Ready;
use super::source::Source;
use crate::errno::Errno;
use crate::user::{self, Slice};

/// Highest count.
const MAXIMUM: u64 = u64::MAX - 1;
/// Bytes of a count.
const BYTES: u64 = size_of::<u64>() as u64;

/// An event counter.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The count.
    pub count: u64,
    /// True if a read takes 1 instead of the whole count (`EFD_SEMAPHORE`).
    pub semaphore: bool,
}

impl Event {
    /// Events that the counter is ready for.
    pub fn ready(self) -> Ready {
        let mut ready = Ready::empty();
        ready.set(Ready::IN, self.count > 0);
        ready.set(Ready::OUT, self.count < MAXIMUM);
        ready
    }

    /// Reads the count, or 1 of it; EAGAIN if it is 0. Returns the bytes read, and the events that this causes.
    pub fn read(&mut self, into: Slice) -> Result<(u64, Ready), Errno> {
        if into.length < BYTES {
            return Err(Errno::EINVAL);
        }
        if self.count == 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = if self.semaphore { 1 } else { self.count };
        user::write(into.address, &taken)?;
        self.count -= taken;
        Ok((BYTES, Ready::OUT))
    }

    /// Adds to the count; EAGAIN if there is no room. Returns the bytes written, and the events that this causes.
    pub fn write(&mut self, from: Source<'_>) -> Result<(u64, Ready), Errno> {
        if from.length() < BYTES {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; BYTES as usize];
        from.first(BYTES).copy_to(&mut bytes)?;
        let added = u64::from_ne_bytes(bytes);
        if added == u64::MAX {
            return Err(Errno::EINVAL);
        }
        if added > MAXIMUM - self.count {
            return Err(Errno::EAGAIN);
        }
        self.count += added;
        Ok((BYTES, Ready::IN))
    }
}
