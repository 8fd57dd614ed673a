//! Calls on sets of files to wait for ([`super::epoll`]): what is in a set, and which of it is ready.

use super::Files;
use super::device::Devices;
use super::epoll::{Change, FLAGS, Interest};
use super::handle::{DescriptionKey, NodeKey};
use super::inode::Kind;
use super::ready::Ready;
use super::watch::{Entry, Watch};
use crate::errno::Errno;
use crate::user;
use linux_raw_sys::general as linux;

/// Events and flags that an interest with `EPOLLEXCLUSIVE` may have.
const EXCLUSIVE: u32 =
    linux::EPOLLIN | linux::EPOLLOUT | linux::EPOLLERR | linux::EPOLLHUP | FLAGS & !linux::EPOLLONESHOT;
/// Deepest nesting of sets.
const DEPTH_MAXIMUM: u32 = 5;
/// Memory that an interest takes, in bytes: entry, watch, entry in the queue, and room for them to grow.
const COST: u64 = 160;
/// Bytes of a `struct epoll_event`: 32 bits of events and 64 of data, without padding.
const EVENT: u64 = 12;

impl Files {
    /// Inode of the set behind a descriptor.
    pub fn epoll_node(&self, descriptor: i32) -> Result<NodeKey, Errno> {
        let node = self.descriptions[self.usable(descriptor)?].node;
        if let Kind::Epoll(_) = self.nodes[node].kind { Ok(node) } else { Err(Errno::EINVAL) }
    }

    /// epoll_ctl(2).
    pub fn change_epoll(
        &mut self,
        devices: &mut dyn Devices,
        set: i32,
        descriptor: i32,
        change: Change,
    ) -> Result<(), Errno> {
        self.usable(set)?;
        let description = self.usable(descriptor)?;
        let node = self.descriptions[description].node;
        if !self.nodes[node].kind.can_be_waited_for() {
            return Err(Errno::EPERM);
        }
        let set = self.epoll_node(set)?;
        if set == node {
            return Err(Errno::EINVAL);
        }
        let entry = Entry { descriptor, description };
        let (events, data) = match change {
            // These two need not be asked for.
            Change::Add(events, data) | Change::Modify(events, data) => {
                (events | linux::EPOLLERR | linux::EPOLLHUP, data)
            }
            Change::Delete => return self.remove_interest(set, entry),
            Change::Unknown => return Err(Errno::EINVAL),
        };
        if matches!(change, Change::Modify(..)) && events & linux::EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let wanted = Interest { node, events, data, queued: false };
        if let Change::Add(..) = change {
            self.add_interest(set, entry, wanted)?;
        } else {
            let Kind::Epoll(epoll) = &mut self.nodes[set].kind else { return Err(Errno::EINVAL) };
            let interest = epoll.interests.get_mut(&entry).ok_or(Errno::ENOENT)?;
            if (interest.events | events) & linux::EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            (interest.events, interest.data) = (events, data);
        }
        let ready = self.ready(devices, description, wanted.events());
        if let Kind::Epoll(epoll) = &mut self.nodes[set].kind
            && epoll.happened(entry, ready)
        {
            self.notify(set, Ready::IN);
        }
        Ok(())
    }

    fn add_interest(&mut self, set: NodeKey, entry: Entry, interest: Interest) -> Result<(), Errno> {
        let is_set = matches!(self.nodes[interest.node].kind, Kind::Epoll(_));
        let exclusive = interest.events & linux::EPOLLEXCLUSIVE != 0;
        if exclusive && (is_set || interest.events & !EXCLUSIVE != 0) {
            return Err(Errno::EINVAL);
        }
        if is_set && self.depth(interest.node, set)? + self.height(set) > DEPTH_MAXIMUM {
            return Err(Errno::ELOOP);
        }
        let Kind::Epoll(epoll) = &mut self.nodes[set].kind else { return Err(Errno::EINVAL) };
        if epoll.interests.contains_key(&entry) {
            return Err(Errno::EEXIST);
        }
        epoll.interests.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        // Room for the case that all files are ready, so that `happened` need not allocate.
        let room = epoll.interests.len() + 1 - epoll.queue.len();
        epoll.queue.try_reserve(room).map_err(|_| Errno::ENOMEM)?;
        let watches = &mut self.nodes[interest.node].watches;
        watches.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.quota.take(COST).map_err(|_| Errno::ENOMEM)?;
        watches.push(Watch { set, entry });
        if let Kind::Epoll(epoll) = &mut self.nodes[set].kind {
            epoll.interests.insert(entry, interest);
        }
        Ok(())
    }

    fn remove_interest(&mut self, set: NodeKey, entry: Entry) -> Result<(), Errno> {
        let Kind::Epoll(epoll) = &mut self.nodes[set].kind else { return Err(Errno::EINVAL) };
        let node = epoll.remove(entry).ok_or(Errno::ENOENT)?;
        self.nodes[node].watches.retain(|watch| watch.set != set || watch.entry != entry);
        self.quota.give(COST);
        Ok(())
    }

    /// Depth of the nesting below `set`, itself included; ELOOP if `sought` is found there.
    fn depth(&self, set: NodeKey, sought: NodeKey) -> Result<u32, Errno> {
        if set == sought {
            return Err(Errno::ELOOP);
        }
        let Kind::Epoll(epoll) = &self.nodes[set].kind else { return Ok(0) };
        let mut deepest = 0;
        for interest in epoll.interests.values() {
            deepest = deepest.max(self.depth(interest.node, sought)?);
        }
        Ok(deepest + 1)
    }

    /// Height of the nesting above `set`, itself included.
    fn height(&self, set: NodeKey) -> u32 {
        1 + self.nodes[set].watches.iter().map(|watch| self.height(watch.set)).max().unwrap_or(0)
    }

    /// Removes a closed description from all sets, and if it was a set, all files from it.
    pub(super) fn unwatch_closed(&mut self, key: DescriptionKey, node: NodeKey) {
        let mut at = 0;
        while let Some(&Watch { set, entry }) = self.nodes[node].watches.get(at) {
            if entry.description != key || self.remove_interest(set, entry).is_err() {
                at += 1;
            }
        }
        if let Kind::Epoll(epoll) = &mut self.nodes[node].kind {
            let closed = core::mem::take(epoll);
            for interest in closed.interests.values() {
                self.nodes[interest.node].watches.retain(|watch| watch.set != node);
                self.quota.give(COST);
            }
        }
    }

    /// Returns true if a file of a set is ready.
    pub(super) fn any_ready(&mut self, devices: &mut dyn Devices, set: NodeKey) -> bool {
        let mut at = 0;
        while let Kind::Epoll(epoll) = &self.nodes[set].kind
            && let Some(entry) = epoll.queue.get(at)
        {
            let description = entry.description;
            let asked = epoll.interests.get(entry).map_or(Ready::empty(), Interest::events);
            if !self.ready(devices, description, asked).is_empty() {
                return true;
            }
            at += 1;
        }
        false
    }

    /// epoll_wait(2), without waiting: writes up to `maximum` events to the program's address `into`, and returns their count.
    pub fn take_events(
        &mut self,
        devices: &mut dyn Devices,
        set: NodeKey,
        into: u64,
        maximum: u64,
    ) -> Result<u64, Errno> {
        let mut told = 0;
        let Kind::Epoll(epoll) = &self.nodes[set].kind else { return Err(Errno::EINVAL) };
        for _ in 0..epoll.queue.len() {
            let Kind::Epoll(epoll) = &self.nodes[set].kind else { break };
            let Some(&entry) = epoll.queue.front().filter(|_| told < maximum) else { break };
            let Some(&interest) = epoll.interests.get(&entry) else { break };
            let ready = self.ready(devices, entry.description, interest.events());
            if !ready.is_empty() {
                let [low, high] = [interest.data as u32, (interest.data >> 32) as u32];
                match user::write(into.wrapping_add(told * EVENT), &[ready.bits(), low, high]) {
                    Ok(()) => told += 1,
                    Err(_) if told > 0 => break,
                    Err(errno) => return Err(errno),
                }
            }
            let Kind::Epoll(epoll) = &mut self.nodes[set].kind else { break };
            epoll.queue.pop_front();
            let Some(interest) = epoll.interests.get_mut(&entry) else { break };
            if interest.events & linux::EPOLLONESHOT != 0 && !ready.is_empty() {
                interest.events &= FLAGS;
            }
            interest.queued = !ready.is_empty() && interest.events & (linux::EPOLLET | linux::EPOLLONESHOT) == 0;
            if interest.queued {
                epoll.queue.push_back(entry);
            }
        }
        Ok(told)
    }
}
