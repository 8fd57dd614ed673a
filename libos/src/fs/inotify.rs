//! Queues of inotify(7): events about files, in order, until the program reads them.
//!
//! Watches are in [`super::marks`]; events come from [`super::report`].

use super::quota::Quota;
use super::ready::Ready;
use crate::errno::Errno;
use crate::user::{self, Slice};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use linux_raw_sys::general as linux;

/// Most events in a queue, as by Linux's default; then one event says that others are lost.
pub const QUEUE_MAXIMUM: usize = 16384;
/// Bytes of a `struct inotify_event` without the name: watch, mask, cookie, length of the name. Names are padded to multiples of it.
const HEADER: u64 = 16;
/// Memory of an event in the queue, without the name.
const COST: u64 = size_of::<Event>() as u64;

/// Event about a watched file.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Option<Box<[u8]>>,
}

impl Event {
    /// Bytes of the name as the program reads it: with at least one NUL behind, and padded.
    fn padded(&self) -> u64 {
        self.name.as_ref().map_or(0, |name| (name.len() as u64 + 1).next_multiple_of(HEADER))
    }

    fn cost(&self) -> u64 {
        COST + self.name.as_ref().map_or(0, |name| name.len() as u64)
    }
}

/// A queue of events.
#[derive(Debug, Default)]
pub struct Inotify {
    events: VecDeque<Event>,
    /// True if events have been lost since the last read of the event that says so.
    overflowed: bool,
    /// Number of the last watch.
    pub last_watch: i32,
}

impl Inotify {
    /// Events that the queue is ready for.
    pub fn ready(&self) -> Ready {
        if self.is_empty() { Ready::empty() } else { Ready::IN }
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.overflowed
    }

    /// Bytes that a read would find.
    pub fn length(&self) -> u64 {
        let overflow = if self.overflowed { HEADER } else { 0 };
        self.events.iter().map(|event| HEADER + event.padded()).sum::<u64>() + overflow
    }

    /// Adds an event, unless it repeats the last one. Without room or memory for it, the queue overflows. Returns true if there is
    /// something new to read.
    pub fn push(&mut self, quota: &mut Quota, watch: i32, mask: u32, cookie: u32, name: Option<&[u8]>) -> bool {
        if self.overflowed {
            return false;
        }
        let repeats = |last: &Event| last.watch == watch && last.mask == mask && last.name.as_deref() == name;
        if mask & linux::IN_IGNORED == 0 && self.events.back().is_some_and(repeats) {
            return false;
        }
        let name = name.map(super::directory::boxed).transpose();
        let added = name.and_then(|name| self.add(quota, Event { watch, mask, cookie, name }));
        self.overflowed = added.is_err();
        true
    }

    fn add(&mut self, quota: &mut Quota, event: Event) -> Result<(), Errno> {
        if self.events.len() >= QUEUE_MAXIMUM {
            return Err(Errno::ENOSPC);
        }
        self.events.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        quota.take(event.cost())?;
        self.events.push_back(event);
        Ok(())
    }

    /// Reads as many events as fit; EAGAIN if there are none, EINVAL if the first does not fit. Returns the bytes read.
    pub fn read(&mut self, quota: &mut Quota, into: Slice) -> Result<(u64, Ready), Errno> {
        let mut done = 0;
        while let Some(event) = self.events.front() {
            let length = HEADER + event.padded();
            if length > into.length - done {
                return if done == 0 { Err(Errno::EINVAL) } else { Ok((done, Ready::empty())) };
            }
            let written = write(into.after(done), event);
            if let Err(errno) = written {
                return if done == 0 { Err(errno) } else { Ok((done, Ready::empty())) };
            }
            quota.give(event.cost());
            self.events.pop_front();
            done += length;
        }
        if self.overflowed && into.length - done >= HEADER {
            let lost = Event { watch: -1, mask: linux::IN_Q_OVERFLOW, cookie: 0, name: None };
            match write(into.after(done), &lost) {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => return Ok((done, Ready::empty())),
                Ok(()) => {}
            }
            self.overflowed = false;
            done += HEADER;
        }
        match done {
            0 if self.overflowed => Err(Errno::EINVAL),
            0 => Err(Errno::EAGAIN),
            done => Ok((done, Ready::empty())),
        }
    }

    /// Drops all events.
    pub fn clear(&mut self, quota: &mut Quota) {
        self.events.drain(..).for_each(|event| quota.give(event.cost()));
    }
}

/// Writes an event as the program reads it; there is room for it.
fn write(into: Slice, event: &Event) -> Result<(), Errno> {
    let padded = event.padded();
    into.first(HEADER + padded).check()?;
    user::write(into.address, &[event.watch as u32, event.mask, event.cookie, padded as u32])?;
    let Some(name) = &event.name else { return Ok(()) };
    let place = into.after(HEADER).first(padded);
    place.zero()?;
    place.copy_in(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Quota {
        Quota { used: 0, limit: 16 << 20 }
    }

    fn read(inotify: &mut Inotify, quota: &mut Quota, length: u64) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0xff; length as usize];
        let (count, _) = inotify.read(quota, Slice::new(bytes.as_mut_ptr() as u64, length))?;
        bytes.truncate(count as usize);
        Ok(bytes)
    }

    #[test]
    fn a_name_is_padded_with_zeros_and_whole_events_are_read() {
        let (mut inotify, mut quota) = (Inotify::default(), quota());
        assert_eq!(read(&mut inotify, &mut quota, 100), Err(Errno::EAGAIN));
        assert!(inotify.push(&mut quota, 1, linux::IN_CREATE, 0, Some(b"name")));
        assert!(!inotify.push(&mut quota, 1, linux::IN_CREATE, 0, Some(b"name")), "repeats the last");
        assert!(inotify.push(&mut quota, 1, linux::IN_CREATE, 0, Some(&[b'x'; 16])));
        assert!(inotify.push(&mut quota, 2, linux::IN_OPEN, 0, None));
        assert_eq!(inotify.length(), 32 + 48 + 16);
        assert_eq!(read(&mut inotify, &mut quota, 31), Err(Errno::EINVAL));
        let first = read(&mut inotify, &mut quota, 79).expect("the first fits");
        assert_eq!(first[12..], *b"\x10\0\0\0name\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(read(&mut inotify, &mut quota, 4096).map(|bytes| bytes.len()), Ok(64));
        assert_eq!(quota.used, 0);
    }

    #[test]
    fn a_full_queue_says_once_that_events_are_lost() {
        let (mut inotify, mut quota) = (Inotify::default(), quota());
        for watch in 0..QUEUE_MAXIMUM as i32 + 9 {
            inotify.push(&mut quota, watch, linux::IN_OPEN, 0, None);
        }
        let bytes = read(&mut inotify, &mut quota, 1 << 20).expect("events");
        assert_eq!(bytes.len(), (QUEUE_MAXIMUM + 1) * 16);
        let last: [u32; 4] = zerocopy::FromBytes::read_from_bytes(&bytes[bytes.len() - 16..]).expect("as long");
        assert_eq!(last, [u32::MAX, linux::IN_Q_OVERFLOW, 0, 0]);
        assert!(inotify.push(&mut quota, 1, linux::IN_OPEN, 0, None), "there is room again");
    }

    #[test]
    fn without_memory_for_an_event_the_queue_overflows() {
        let (mut inotify, mut quota) = (Inotify::default(), Quota { used: 0, limit: 10 });
        assert!(inotify.push(&mut quota, 1, linux::IN_OPEN, 0, None));
        assert_eq!((inotify.length(), inotify.ready(), quota.used), (16, Ready::IN, 0));
    }
}
