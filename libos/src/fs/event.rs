//! Event counters: eventfd(2).

use super::Files;
use super::description::DescriptionKey;
use super::inode::{Kind, Time, Volume};
use super::poll::Ready;
use super::source::Source;
use super::watch::wait;
use crate::answer::Answer;
use crate::errno::Errno;
use crate::user::{self, Slice};
use linux_raw_sys::general as linux;

/// Highest count.
const MAXIMUM: u64 = u64::MAX - 1;
/// Bytes of a count.
const BYTES: u64 = size_of::<u64>() as u64;

/// An event counter.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    count: u64,
    /// True if a read takes 1 instead of the whole count (`EFD_SEMAPHORE`).
    semaphore: bool,
}

impl Event {
    /// Returns true if a read would not wait.
    pub fn is_set(self) -> bool {
        self.count > 0
    }

    /// Returns true if a write of 1 would find room.
    pub fn has_room(self) -> bool {
        self.count < MAXIMUM
    }
}

impl Files {
    /// eventfd2(2).
    pub fn event(&mut self, count: u32, flags: u32, now: Time) -> Result<i32, Errno> {
        if flags & !(linux::EFD_SEMAPHORE | linux::EFD_CLOEXEC | linux::EFD_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let event = Event { count: u64::from(count), semaphore: flags & linux::EFD_SEMAPHORE != 0 };
        let node = self.add_node(Kind::Event(event), Volume::Nameless, 0o600, now)?;
        self.open_node(node, linux::O_RDWR | flags & (linux::O_CLOEXEC | linux::O_NONBLOCK))
    }

    pub(super) fn read_event(&mut self, key: DescriptionKey, into: Slice) -> Answer {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let Kind::Event(event) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL.into()) };
        if into.length < BYTES {
            return Err(Errno::EINVAL.into());
        }
        if event.count == 0 {
            return if nonblocking { Err(Errno::EAGAIN.into()) } else { Err(wait(node)) };
        }
        let taken = if event.semaphore { 1 } else { event.count };
        user::write(into.address, &taken)?;
        event.count -= taken;
        self.notify(node, Ready::OUT);
        Ok(BYTES)
    }

    pub(super) fn write_event(&mut self, key: DescriptionKey, from: Source<'_>) -> Answer {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let Kind::Event(event) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL.into()) };
        if from.length() < BYTES {
            return Err(Errno::EINVAL.into());
        }
        let mut bytes = [0; BYTES as usize];
        from.first(BYTES).copy_to(&mut bytes)?;
        let added = u64::from_ne_bytes(bytes);
        if added == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        if added > MAXIMUM - event.count {
            return if nonblocking { Err(Errno::EAGAIN.into()) } else { Err(wait(node)) };
        }
        event.count += added;
        self.notify(node, Ready::IN);
        Ok(BYTES)
    }
}
