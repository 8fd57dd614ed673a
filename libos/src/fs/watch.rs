//! Who learns that a file may have become ready: threads that sleep for it, and sets of files that it is in.
//!
//! Whatever changes a file's readiness says so by [`Files::notify`]. Threads do not belong to the files, so for them the
//! change is noted as news, which the owner of both takes and passes on after each call.

use super::Files;
use super::epoll::Place;
use super::inode::{Kind, NodeKey};
use super::poll::Ready;
use crate::answer::{On, Sleep, Stop, Then};
use alloc::vec::Vec;

/// A set of files that a file is in.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The set's inode.
    pub set: NodeKey,
    /// Where in the set.
    pub place: Place,
}

/// Files whose readiness may have changed since somebody last asked.
#[derive(Debug, Default)]
pub struct News {
    nodes: Vec<NodeKey>,
    /// There was no memory to note some.
    lost: bool,
}

impl News {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.lost
    }

    fn add(&mut self, node: NodeKey) {
        if self.nodes.last() == Some(&node) {
            return;
        }
        match self.nodes.try_reserve(1) {
            Ok(()) => self.nodes.push(node),
            Err(_) => self.lost = true,
        }
    }

    /// One of the files, until there are no more.
    pub fn take(&mut self) -> Option<NodeKey> {
        self.nodes.pop()
    }

    /// Whether any have been lost since this was last asked; then all files may have changed.
    pub fn take_lost(&mut self) -> bool {
        core::mem::take(&mut self.lost)
    }
}

/// A call waits for a file: made again when its readiness may have changed.
pub fn wait(node: NodeKey) -> Stop {
    Stop::Sleep(Sleep { on: On::File(node.index()), deadline: None, woken: Then::Again, expired: Then::Again })
}

impl Files {
    /// Notes that `node` may have become ready for `what`.
    pub fn notify(&mut self, node: NodeKey, what: Ready) {
        self.news.add(node);
        let mut at = 0;
        while let Some(&Watch { set, place }) = self.nodes[node].watches.get(at) {
            // A set that has been put into another is a file of that one: no set contains itself, so this ends.
            if let Kind::Epoll(epoll) = &mut self.nodes[set].kind
                && epoll.happened(place, what)
            {
                self.notify(set, Ready::IN);
            }
            at += 1;
        }
    }
}
