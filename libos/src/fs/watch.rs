//! Notification of changed readiness: to threads that sleep for a file, and to sets that it is in.
//!
//! Code that changes a file's readiness reports that by [`super::Files::notify`]. Threads do not belong to the files, so for
//! them the change is noted in a list, which the owner of both takes and passes on after each call.

use super::handle::{DescriptionKey, NodeKey};
use crate::syscall_result::{Stop, WaitFor};
use alloc::vec::Vec;

/// Identity of a file in a set of epoll(7): a descriptor, and the description that it stood for when it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Descriptor by which the file was added.
    pub descriptor: i32,
    /// Description behind the descriptor at that time.
    pub description: DescriptionKey,
}

/// Membership of a file in a set.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The set's inode.
    pub set: NodeKey,
    /// Entry in the set.
    pub entry: Entry,
}

/// Files with changed readiness since the last check.
#[derive(Debug, Default)]
pub struct ReadyList {
    nodes: Vec<NodeKey>,
    /// True if there was no memory to note a file.
    lost: bool,
}

impl ReadyList {
    /// Returns true if there are no such files.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.lost
    }

    /// Notes a file.
    pub(super) fn add(&mut self, node: NodeKey) {
        if self.nodes.last() == Some(&node) {
            return;
        }
        match self.nodes.try_reserve(1) {
            Ok(()) => self.nodes.push(node),
            Err(_) => self.lost = true,
        }
    }

    /// Removes a file and returns it, until there are no more.
    pub fn take(&mut self) -> Option<NodeKey> {
        self.nodes.pop()
    }

    /// Notes that any file may have changed.
    pub(super) fn add_all(&mut self) {
        self.lost = true;
    }

    /// Returns true if files have been lost since the last call; then any file may have changed.
    pub fn take_lost(&mut self) -> bool {
        core::mem::take(&mut self.lost)
    }
}

/// Result of a call that waits for a file: the call is restarted when the file's readiness may have changed.
pub fn wait(node: NodeKey) -> Stop {
    Stop::until(WaitFor::File(node.index()), None)
}
