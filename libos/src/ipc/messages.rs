//! Message queues of System V.

use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Most bytes of a message, and of all in a queue at first, by Linux's defaults.
pub const MESSAGE_MAXIMUM: u64 = 8192;
const QUEUE_BYTES: u64 = 16384;
/// Flags of msgrcv(2): a longer message is cut.
pub const CUT: u32 = 0o10000;
/// The first message that is *not* of the type.
pub const EXCEPT: u32 = 0o20000;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Type: above 0.
    pub kind: i64,
    /// The rest.
    pub bytes: Box<[u8]>,
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    messages: VecDeque<Message>,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Most bytes of all messages.
    pub limit: u64,
    /// Seconds since 1970 of the last message sent and received.
    pub times: [i64; 2],
    /// Processes that have sent and received the last message.
    pub processes: [u32; 2],
}

impl Default for Queue {
    fn default() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, limit: QUEUE_BYTES, times: [0; 2], processes: [0; 2] }
    }
}

impl Queue {
    /// Number of messages.
    pub fn count(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Returns true if there is room for a message of that many bytes.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.bytes + bytes <= self.limit && self.count() < self.limit
    }

    /// Adds a message.
    pub fn send(&mut self, message: Message) -> Result<(), Errno> {
        self.messages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.bytes += message.bytes.len() as u64;
        self.messages.push_back(message);
        Ok(())
    }

    /// The first message of a type: of any for 0, of the lowest up to `-kind` for a negative one.
    pub fn find(&self, kind: i64, except: bool) -> Option<usize> {
        let lowest = || {
            let wanted = self.messages.iter().filter(|message| message.kind <= kind.saturating_neg());
            wanted.map(|message| message.kind).min()
        };
        let kind = match kind {
            0 => return (!self.messages.is_empty()).then_some(0),
            1.. => kind,
            _ => lowest()?,
        };
        self.messages.iter().position(|message| (message.kind == kind) != except)
    }

    /// The message at an index.
    pub fn get(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// Removes the message at an index.
    pub fn take(&mut self, index: usize) {
        if let Some(message) = self.messages.remove(index) {
            self.bytes -= message.bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_type() {
        let mut queue = Queue::default();
        for kind in [5, 3, 4, 3] {
            queue.send(Message { kind, bytes: vec![0; 10].into() }).expect("memory");
        }
        assert_eq!(queue.find(0, false), Some(0));
        assert_eq!((queue.find(3, false), queue.find(9, false)), (Some(1), None));
        assert_eq!((queue.find(5, true), queue.find(9, true)), (Some(1), Some(0)));
        assert_eq!(
            (queue.find(-4, false), queue.find(-2, false), queue.find(i64::MIN, false)),
            (Some(1), None, Some(1))
        );
        queue.take(1);
        assert_eq!((queue.count(), queue.bytes, queue.find(-4, false)), (3, 30, Some(2)));
        assert!(queue.has_room(16354) && !queue.has_room(16355));
    }
}
