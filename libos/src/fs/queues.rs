//! Calls on message queues of POSIX ([`super::queue`]).

use super::Files;
use super::description::Access;
use super::handle::NodeKey;
use super::inode::{Kind, Mount, Time};
use super::queue::{Message, Named, Notification, OVERHEAD, Queue};
use super::ready::Ready;
use super::watch::wait;
use crate::errno::Errno;
use crate::syscall_result::Stop;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use linux_raw_sys::general as linux;

/// Most messages in a queue, and bytes of a message, for a privileged program on Linux; and what a queue has by default.
const COUNT_MAXIMUM: u64 = 65536;
const SIZE_MAXIMUM: u64 = 16 << 20;
const DEFAULT: [u64; 2] = [10, 8192];
/// Most bytes of all queues, by Linux's default limit RLIMIT_MSGQUEUE.
const BYTES_MAXIMUM: u64 = 819_200;
/// Most queues, by Linux's default.
const QUEUES_MAXIMUM: usize = 256;

impl Files {
    /// mq_open(2), with limits for a new queue.
    pub fn open_queue(
        &mut self,
        name: &[u8],
        flags: u32,
        mode: u32,
        limits: Option<[i64; 2]>,
        now: Time,
    ) -> Result<i32, Errno> {
        self.check_descriptor_free()?;
        let flags = flags & (linux::O_ACCMODE | linux::O_NONBLOCK | linux::O_CREAT | linux::O_EXCL);
        let found = self.queues.iter().find(|named| *named.name == *name).map(|named| named.node);
        let node = match found {
            Some(_) if flags & (linux::O_CREAT | linux::O_EXCL) == linux::O_CREAT | linux::O_EXCL => {
                return Err(Errno::EEXIST);
            }
            Some(node) => node,
            None if flags & linux::O_CREAT == 0 => return Err(Errno::ENOENT),
            None => self.make_queue(name, mode, limits, now)?,
        };
        self.nodes.retain(node);
        self.open_node(node, flags | linux::O_CLOEXEC)
    }

    fn make_queue(&mut self, name: &[u8], mode: u32, limits: Option<[i64; 2]>, now: Time) -> Result<NodeKey, Errno> {
        let limits = match limits {
            None => DEFAULT,
            Some(limits) => limits.map(|limit| u64::try_from(limit).unwrap_or(0)),
        };
        if limits.contains(&0) || limits[0] > COUNT_MAXIMUM || limits[1] > SIZE_MAXIMUM {
            return Err(Errno::EINVAL);
        }
        let queue = Queue { messages: VecDeque::new(), limits, notification: None };
        if self.queues.len() >= QUEUES_MAXIMUM {
            return Err(Errno::ENOSPC);
        }
        if self.queue_bytes + queue.bytes() > BYTES_MAXIMUM {
            return Err(Errno::EMFILE);
        }
        let name = super::directory::boxed(name)?;
        self.queues.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let bytes = queue.bytes();
        let permissions = mode & 0o777 & !self.umask;
        let node = self.add_node(Kind::Queue(Box::new(queue)), Mount::Nameless, permissions, now)?;
        self.nodes[node].links = 1;
        self.queue_bytes += bytes;
        self.queues.push(Named { name, node });
        Ok(node)
    }

    /// mq_unlink(2): the queue is there as long as it is open.
    pub fn unlink_queue(&mut self, name: &[u8]) -> Result<(), Errno> {
        let at = self.queues.iter().position(|named| *named.name == *name).ok_or(Errno::ENOENT)?;
        let Named { node, .. } = self.queues.swap_remove(at);
        self.nodes[node].links = 0;
        self.release(node);
        Ok(())
    }

    /// Uncounts a queue that is gone.
    pub(super) fn queue_gone(&mut self, queue: &Queue) {
        self.queue_bytes -= queue.bytes();
        self.quota.give(queue.messages.iter().map(|message| OVERHEAD + message.bytes.len() as u64).sum());
    }

    /// The queue behind a descriptor; EBADF for another file.
    pub fn queue(&mut self, descriptor: i32) -> Result<(NodeKey, &mut Queue), Errno> {
        let node = self.descriptions[self.usable(descriptor)?].node;
        match &mut self.nodes[node].kind {
            Kind::Queue(queue) => Ok((node, queue)),
            _ => Err(Errno::EBADF),
        }
    }

    /// The queue, like [`Files::queue`]; EBADF without this access. True if calls do not wait.
    fn queue_for(&mut self, descriptor: i32, access: Access) -> Result<(NodeKey, bool), Errno> {
        let key = self.usable_to(descriptor, access)?;
        let nonblocking = self.descriptions[key].is_nonblocking();
        self.queue(descriptor).map(|(node, _)| (node, nonblocking))
    }

    /// mq_timedsend(2), up to the wait. `message` reads the message, once it is known that it fits. Returns the signal to send, which
    /// counts only if no thread waits for the message; and the number of the queue's file.
    pub fn send_to_queue(
        &mut self,
        descriptor: i32,
        length: u64,
        message: impl FnOnce() -> Result<Message, Errno>,
    ) -> Result<(NodeKey, bool), Stop> {
        let (node, nonblocking) = self.queue_for(descriptor, Access::WRITE)?;
        let Kind::Queue(queue) = &mut self.nodes[node].kind else { return Err(Errno::EBADF.into()) };
        if length > queue.limits[1] {
            return Err(Errno::EMSGSIZE.into());
        }
        if queue.count() >= queue.limits[0] {
            return Err(if nonblocking { Errno::EAGAIN.into() } else { wait(node) });
        }
        self.quota.take(OVERHEAD + length).map_err(|_| Errno::ENOMEM)?;
        let was_empty = queue.messages.is_empty();
        let added = message().and_then(|message| queue.add(message));
        if added.is_err() {
            self.quota.give(OVERHEAD + length);
        }
        added?;
        Ok((node, was_empty))
    }

    /// Takes the signal to send for a message that has arrived in a queue.
    pub fn take_notification(&mut self, node: NodeKey) -> Option<Notification> {
        match &mut self.nodes[node].kind {
            Kind::Queue(queue) => queue.notification.take(),
            _ => None,
        }
    }

    /// mq_timedreceive(2), up to the wait: passes the first message to `take`, and removes it unless that fails.
    pub fn receive_from_queue(
        &mut self,
        descriptor: i32,
        length: u64,
        take: impl FnOnce(&Message) -> Result<(), Errno>,
    ) -> Result<u64, Stop> {
        let (node, nonblocking) = self.queue_for(descriptor, Access::READ)?;
        let Kind::Queue(queue) = &mut self.nodes[node].kind else { return Err(Errno::EBADF.into()) };
        if length < queue.limits[1] {
            return Err(Errno::EMSGSIZE.into());
        }
        let Some(first) = queue.messages.front() else {
            return Err(if nonblocking { Errno::EAGAIN.into() } else { wait(node) });
        };
        take(first)?;
        let length = first.bytes.len() as u64;
        queue.messages.pop_front();
        self.quota.give(OVERHEAD + length);
        self.notify(node, Ready::OUT);
        Ok(length)
    }
}
