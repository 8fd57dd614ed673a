//! Message queues of POSIX: mq_overview(7). Their names are apart from those of files.

use super::handle::NodeKey;
use super::ready::Ready;
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Bytes that a message counts besides its own.
pub const OVERHEAD: u64 = 96;

/// A message.
#[derive(Debug)]
pub struct Message {
    /// Priority: higher ones are received first.
    pub priority: u32,
    /// Contents.
    pub bytes: Box<[u8]>,
}

/// Signal for the next message that arrives in an empty queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Signal, or 0 for none.
    pub signal: u32,
    /// Data of the program.
    pub value: u64,
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    /// Messages by falling priority; in order among the same.
    pub(super) messages: VecDeque<Message>,
    /// Most messages, and bytes of each.
    pub limits: [u64; 2],
    /// Signal that the program has asked for.
    pub notification: Option<Notification>,
}

/// A queue among the names.
#[derive(Debug)]
pub struct Named {
    pub(super) name: Box<[u8]>,
    /// The queue; the name has a reference.
    pub(super) node: NodeKey,
}

impl Queue {
    /// Events that the queue is ready for.
    pub fn ready(&self) -> Ready {
        let mut ready = Ready::empty();
        ready.set(Ready::IN, !self.messages.is_empty());
        ready.set(Ready::OUT, self.count() < self.limits[0]);
        ready
    }

    /// Number of messages.
    pub fn count(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Bytes by which the queue counts.
    pub(super) fn bytes(&self) -> u64 {
        let [count, size] = self.limits;
        count * (size + OVERHEAD)
    }

    /// Adds a message.
    pub(super) fn add(&mut self, message: Message) -> Result<(), Errno> {
        self.messages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let at = self.messages.partition_point(|other| other.priority >= message.priority);
        self.messages.insert(at, message);
        Ok(())
    }
}
