//! Received, unread data of a socket.

use super::address::{Address, Arrival};
use crate::errno::Errno;
use crate::fs::buffers::Buffers;
use crate::fs::handle::DescriptionKey;
use crate::fs::quota::Quota;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most bytes that wait in a socket; Linux's default.
pub const CAPACITY: usize = 212_992;
/// Most messages that wait in a socket, if they have boundaries.
pub const MESSAGES_MAXIMUM: usize = 256;
/// Short pieces of a stream are joined up to this length.
const JOINED_MAXIMUM: usize = 16 << 10;
/// Memory that a message takes beyond its bytes.
const MESSAGE: u64 = 64;

/// Message sent by one call, or a part of a stream.
#[derive(Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
    /// Number of bytes that have been read.
    read: usize,
    /// Name of the sender, if it has one.
    pub from: Option<Address>,
    /// Further facts about a datagram.
    pub arrival: Option<Arrival>,
    /// Open files that came with it; counted.
    pub rights: Vec<DescriptionKey>,
}

impl Message {
    /// Returns a message of the first `length` bytes of `buffers`.
    pub fn new(buffers: Buffers<'_>, length: usize) -> Result<Self, Errno> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        buffers.gather(length, &mut bytes)?;
        Ok(Self { bytes, ..Self::default() })
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    fn cost(&self) -> u64 {
        MESSAGE + self.bytes.len() as u64
    }
}

/// Result of a read.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes that were read.
    pub count: u64,
    /// Bytes of the whole message, if messages have boundaries.
    pub length: u64,
    /// Name of the sender, if it has one.
    pub from: Option<Address>,
    /// Further facts about a datagram.
    pub arrival: Option<Arrival>,
    /// Open files that came with it; counted.
    pub rights: Vec<DescriptionKey>,
}

/// Messages in order.
#[derive(Debug, Default)]
pub struct Queue {
    messages: VecDeque<Message>,
    /// Unread bytes.
    length: usize,
}

impl Queue {
    /// Number of unread bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Unread bytes of the first message.
    pub fn first_length(&self) -> usize {
        self.messages.front().map_or(0, |message| message.rest().len())
    }

    /// Returns true if there is no message, not even one without bytes.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Number of messages.
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// Adds a message.
    pub fn push(&mut self, quota: &mut Quota, message: Message) -> Result<(), Errno> {
        self.messages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        quota.take(message.cost()).map_err(|_| Errno::ENOMEM)?;
        self.length += message.bytes.len();
        self.messages.push_back(message);
        Ok(())
    }

    /// Appends bytes to a stream: to its last piece, if they are few.
    pub fn append(&mut self, quota: &mut Quota, buffers: Buffers<'_>, length: usize) -> Result<(), Errno> {
        let last = self.messages.back_mut().filter(|last| {
            last.rights.is_empty() && last.from.is_none() && last.bytes.len() + length <= JOINED_MAXIMUM
        });
        let Some(last) = last else { return self.push(quota, Message::new(buffers, length)?) };
        quota.take(length as u64).map_err(|_| Errno::ENOMEM)?;
        let before = last.bytes.len();
        let gathered = buffers.gather(length, &mut last.bytes);
        if gathered.is_err() {
            last.bytes.truncate(before);
            quota.give(length as u64);
        } else {
            self.length += length;
        }
        gathered
    }

    /// Reads a stream into `buffers`. Data with open files is not joined with data before or after it.
    pub fn read_stream(&mut self, quota: &mut Quota, buffers: Buffers<'_>, peek: bool) -> Result<Received, Errno> {
        let mut received = Received::default();
        let (mut at, wanted) = (0, buffers.length());
        while received.count < wanted
            && let Some(message) = self.messages.get_mut(at)
        {
            let has_rights = !message.rights.is_empty();
            if has_rights && received.count > 0 {
                break;
            }
            let count = match buffers.scatter(received.count, message.rest()) {
                Ok(count) => count,
                Err(_) if received.count > 0 => break,
                Err(errno) => return Err(errno),
            };
            received.count += count as u64;
            let all = count == message.rest().len();
            if peek {
                received.rights.try_reserve(message.rights.len()).map_err(|_| Errno::ENOMEM)?;
                received.rights.extend_from_slice(&message.rights);
                at += 1;
            } else {
                received.rights.append(&mut message.rights);
                message.read += count;
                self.length -= count;
                if all {
                    self.messages.pop_front().inspect(|message| quota.give(message.cost()));
                }
            }
            if has_rights || !all {
                break;
            }
        }
        Ok(received)
    }

    /// Reads the first message, which must exist, into `buffers`; bytes that do not fit are lost.
    pub fn read_message(&mut self, quota: &mut Quota, buffers: Buffers<'_>, peek: bool) -> Result<Received, Errno> {
        let Some(message) = self.messages.front() else { return Err(Errno::EAGAIN) };
        let count = buffers.scatter(0, message.rest())? as u64;
        let length = message.rest().len() as u64;
        if peek {
            let mut rights = Vec::new();
            rights.try_reserve(message.rights.len()).map_err(|_| Errno::ENOMEM)?;
            rights.extend_from_slice(&message.rights);
            let (from, arrival) = (message.from.clone(), message.arrival);
            return Ok(Received { count, length, from, arrival, rights });
        }
        let Message { from, arrival, rights, .. } = self.pop(quota).unwrap_or_default();
        Ok(Received { count, length, from, arrival, rights })
    }

    /// Drops all messages, none of which carries open files.
    pub fn clear(&mut self, quota: &mut Quota) {
        while self.pop(quota).is_some() {}
    }

    /// Takes out the first message.
    pub fn pop(&mut self, quota: &mut Quota) -> Option<Message> {
        let message = self.messages.pop_front()?;
        quota.give(message.cost());
        self.length -= message.rest().len();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Slice;

    fn claim(bytes: &[u8]) -> [Slice; 1] {
        [Slice::new(bytes.as_ptr() as u64, bytes.len() as u64)]
    }

    #[test]
    fn a_stream_has_no_borders_and_messages_have() {
        let mut quota = Quota { used: 0, limit: 1 << 20 };
        let mut into = [0; 10];
        let mut queue = Queue::default();
        for bytes in [&b"abc"[..], b"de"] {
            queue.append(&mut quota, Buffers::new(&claim(bytes), 0), bytes.len()).expect("memory");
        }
        let slices = [Slice::new(into.as_mut_ptr() as u64, 4)];
        let read = |queue: &mut Queue, quota: &mut Quota, peek| {
            queue.read_stream(quota, Buffers::new(&slices, 0), peek).expect("own memory").count
        };
        assert_eq!((read(&mut queue, &mut quota, true), queue.length()), (4, 5));
        assert_eq!((read(&mut queue, &mut quota, false), queue.length()), (4, 1));
        assert_eq!((read(&mut queue, &mut quota, false), quota.used), (1, 0));
        for bytes in [&b"abcdef"[..], b"gh"] {
            queue
                .push(&mut quota, Message::new(Buffers::new(&claim(bytes), 0), bytes.len()).expect("memory"))
                .expect("room");
        }
        let received = queue.read_message(&mut quota, Buffers::new(&slices, 0), false).expect("own memory");
        assert_eq!((received.count, received.length, queue.length()), (4, 6, 2));
    }
}
