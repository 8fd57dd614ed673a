//! Sets of files to wait for: epoll(7).
//!
//! A set has a queue of files that may be ready. A file is queued when it is added, and whenever it changes; epoll_wait takes
//! files from the queue and checks each, so its cost depends on the ready files, not on the size of the set. A file that turns
//! out to be ready goes back to the end of the queue, unless it is edge-triggered.

use super::handle::NodeKey;
use super::ready::Ready;
use super::watch::Entry;
use alloc::collections::VecDeque;
use hashbrown::HashMap;
use linux_raw_sys::general as linux;

/// Flags of an interest, which are not events.
pub(super) const FLAGS: u32 = linux::EPOLLET | linux::EPOLLONESHOT | linux::EPOLLWAKEUP | linux::EPOLLEXCLUSIVE;
/// Interest in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    pub(super) node: NodeKey,
    /// Events and flags; no events after one with `EPOLLONESHOT`.
    pub(super) events: u32,
    /// Data of the program, returned with the events.
    pub(super) data: u64,
    /// True if the file is in the queue.
    pub(super) queued: bool,
}

impl Interest {
    /// The events that are asked for, with those that are always reported.
    pub(super) fn events(&self) -> Ready {
        match self.events & !FLAGS {
            0 => Ready::empty(),
            events => Ready::from_bits_retain(events) | Ready::ALWAYS,
        }
    }
}

/// A set of files.
#[derive(Debug, Default)]
pub struct Epoll {
    pub(super) interests: HashMap<Entry, Interest>,
    pub(super) queue: VecDeque<Entry>,
}

/// Operation on a file in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `EPOLL_CTL_ADD`, with events and data.
    Add(u32, u64),
    /// `EPOLL_CTL_MOD`
    Modify(u32, u64),
    /// No operation at all: an error, after those of the descriptors.
    Unknown,
    /// `EPOLL_CTL_DEL`
    Delete,
}

impl Epoll {
    /// Notes that a file may have become ready for `what`; returns true if the interest includes that.
    pub(super) fn happened(&mut self, entry: Entry, what: Ready) -> bool {
        match self.interests.get_mut(&entry) {
            Some(interest) if interest.events().intersects(what) => {
                if !core::mem::replace(&mut interest.queued, true) {
                    self.queue.push_back(entry);
                }
                true
            }
            _ => false,
        }
    }

    /// Removes a file, and returns its inode.
    pub(super) fn remove(&mut self, entry: Entry) -> Option<NodeKey> {
        let interest = self.interests.remove(&entry)?;
        if interest.queued {
            self.queue.retain(|queued| *queued != entry);
        }
        Some(interest.node)
    }
}
