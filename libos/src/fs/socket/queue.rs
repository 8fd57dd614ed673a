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
    /// Real user and group of the sender.
    pub credentials: (u32, u32),
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

/// Control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `cmsg_level`: protocol that defines `kind`.
    pub level: u32,
    /// `cmsg_type`.
    pub kind: u32,
    /// Contents.
    pub data: Vec<u8>,
}

/// What comes with the bytes of a read. Filled in place: to return it through all layers would take longer than a short read.
#[derive(Debug, Default)]
pub struct Envelope {
    /// Bytes of the whole message, if messages have boundaries.
    pub length: u64,
    /// Name of the sender, if it has one.
    pub from: Option<Address>,
    /// Further facts about a datagram.
    pub arrival: Option<Arrival>,
    /// An error about what was sent, in place of a message.
    pub failure: Option<Control>,
    /// Open files that came with it; counted.
    pub rights: Vec<DescriptionKey>,
    /// Real user and group of the sender.
    pub credentials: (u32, u32),
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

    /// Appends bytes to the last message, if it `joins` them, which gets the message and its length. Returns true if it does.
    pub fn extend(
        &mut self,
        quota: &mut Quota,
        buffers: Buffers<'_>,
        length: usize,
        joins: impl FnOnce(&mut Message, usize) -> bool,
    ) -> Result<bool, Errno> {
        let Some(last) = self.messages.back_mut() else { return Ok(false) };
        let before = last.bytes.len();
        if !joins(last, before) {
            return Ok(false);
        }
        quota.take(length as u64).map_err(|_| Errno::ENOMEM)?;
        let gathered = buffers.gather(length, &mut last.bytes);
        if gathered.is_err() {
            last.bytes.truncate(before);
            quota.give(length as u64);
        } else {
            self.length += length;
        }
        gathered.map(|()| true)
    }

    /// Appends bytes to a stream: to its last piece, if they are few.
    pub fn append(
        &mut self,
        quota: &mut Quota,
        buffers: Buffers<'_>,
        length: usize,
        credentials: (u32, u32),
    ) -> Result<(), Errno> {
        let joins = |last: &mut Message, before| {
            let is_plain = last.rights.is_empty() && last.from.is_none() && last.credentials == credentials;
            is_plain && before + length <= JOINED_MAXIMUM
        };
        if self.extend(quota, buffers, length, joins)? {
            return Ok(());
        }
        self.push(quota, Message { credentials, ..Message::new(buffers, length)? })
    }

    /// Reads a stream into `buffers`. Data with open files is not joined with data before or after it. Returns the number of
    /// bytes.
    pub fn read_stream(
        &mut self,
        quota: &mut Quota,
        buffers: Buffers<'_>,
        peek: bool,
        envelope: &mut Envelope,
    ) -> Result<u64, Errno> {
        let (mut done, mut at, wanted) = (0, 0, buffers.length());
        while done < wanted
            && let Some(message) = self.messages.get_mut(at)
        {
            let has_rights = !message.rights.is_empty();
            if (has_rights || message.credentials != envelope.credentials) && done > 0 {
                break;
            }
            let count = match buffers.scatter(done, message.rest()) {
                Ok(count) => count,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            if done == 0 {
                envelope.credentials = message.credentials;
            }
            done += count as u64;
            let all = count == message.rest().len();
            if peek {
                copy_rights(&message.rights, envelope)?;
                at += 1;
            } else {
                envelope.rights.append(&mut message.rights);
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
        Ok(done)
    }

    /// Reads the first message, which must exist, into `buffers`; bytes that do not fit are lost. Returns the number of bytes.
    pub fn read_message(
        &mut self,
        quota: &mut Quota,
        buffers: Buffers<'_>,
        peek: bool,
        envelope: &mut Envelope,
    ) -> Result<u64, Errno> {
        let Some(message) = self.messages.front_mut() else { return Err(Errno::EAGAIN) };
        let count = buffers.scatter(0, message.rest())? as u64;
        (envelope.length, envelope.arrival) = (message.rest().len() as u64, message.arrival);
        envelope.credentials = message.credentials;
        if peek {
            copy_rights(&message.rights, envelope)?;
            envelope.from = message.from.clone();
        } else {
            envelope.rights.append(&mut message.rights);
            envelope.from = message.from.take();
            self.pop(quota);
        }
        Ok(count)
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

/// Adds the open files of a message that stays.
fn copy_rights(rights: &[DescriptionKey], envelope: &mut Envelope) -> Result<(), Errno> {
    envelope.rights.try_reserve(rights.len()).map_err(|_| Errno::ENOMEM)?;
    envelope.rights.extend_from_slice(rights);
    Ok(())
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
            queue.append(&mut quota, Buffers::new(&claim(bytes), 0), bytes.len(), (0, 0)).expect("memory");
        }
        let slices = [Slice::new(into.as_mut_ptr() as u64, 4)];
        let read = |queue: &mut Queue, quota: &mut Quota, peek| {
            queue.read_stream(quota, Buffers::new(&slices, 0), peek, &mut Envelope::default()).expect("own memory")
        };
        assert_eq!((read(&mut queue, &mut quota, true), queue.length()), (4, 5));
        assert_eq!((read(&mut queue, &mut quota, false), queue.length()), (4, 1));
        assert_eq!((read(&mut queue, &mut quota, false), quota.used), (1, 0));
        for bytes in [&b"abcdef"[..], b"gh"] {
            queue
                .push(&mut quota, Message::new(Buffers::new(&claim(bytes), 0), bytes.len()).expect("memory"))
                .expect("room");
        }
        let mut envelope = Envelope::default();
        let count = queue.read_message(&mut quota, Buffers::new(&slices, 0), false, &mut envelope).expect("own memory");
        assert_eq!((count, envelope.length, queue.length()), (4, 6, 2));
    }
}
