//! All flows of a guest: found by their ends, by what the host says of their sockets, and by time.
//!
//! There are at most [`MAXIMUM`]. When a new one finds no room, the guest sees a machine that does not answer.

use super::listen::Listener;
use super::packet::Pair;
use super::{datagrams, tcp};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// Most flows at a time.
const MAXIMUM: usize = 10_240;

/// What a flow is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Stream,
    /// UDP.
    Datagrams,
    /// ICMP, with the series in place of the guest's port.
    Echoes,
}

/// Its name.
pub type Key = (Protocol, Pair);

/// Anything that has a socket of the host.
#[derive(Debug)]
pub enum Flow {
    /// A connection.
    Stream(Box<tcp::Flow>),
    /// Datagrams or echoes that the guest began to send.
    Datagrams(datagrams::Flow),
    /// Datagrams that a client of a published port began to send: it is at `peer`, the port in `listener`.
    Client {
        /// The slot of the published port.
        listener: usize,
        /// The client.
        peer: SocketAddr,
        /// Until when it is remembered, in nanoseconds.
        until_ns: u64,
    },
    /// A published port.
    Listener(Listener),
}

impl Flow {
    fn file(&self) -> Option<RawFd> {
        match self {
            Self::Stream(flow) => Some(flow.socket().as_raw_fd()),
            Self::Datagrams(flow) => Some(flow.socket().as_raw_fd()),
            Self::Listener(listener) => Some(listener.socket.as_raw_fd()),
            Self::Client { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Slot {
    flow: Flow,
    key: Option<Key>,
    deadline_ns: u64,
    /// Tells this flow from one that had the slot before.
    generation: u32,
}

/// The flows.
#[derive(Debug)]
pub struct Flows {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    /// Clients of published ports of datagrams: by the slot of the port and their address.
    clients: HashMap<(usize, SocketAddr), usize>,
    by_time: BTreeSet<(u64, usize)>,
    generation: u32,
    epoll: Epoll,
}

impl Flows {
    /// None yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            clients: HashMap::new(),
            by_time: BTreeSet::new(),
            generation: 0,
            epoll: Epoll::new()?,
        })
    }

    /// The file that is readable when the host says something of a socket.
    pub fn file(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is room for another.
    pub fn has_room(&self) -> bool {
        self.count() < MAXIMUM
    }

    /// Adds a flow; tells its slot. Nothing if there is no room, or the host does not watch its socket.
    pub fn add(&mut self, key: Option<Key>, flow: Flow) -> Option<usize> {
        if !self.has_room() {
            return None;
        }
        let slot = self.free.pop().unwrap_or(self.slots.len());
        self.generation = self.generation.wrapping_add(1);
        if let Some(file) = flow.file() {
            let events = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
            // A published port is looked at until it has no more: who does not fit yet is not forgotten.
            let events = if let Flow::Listener(_) = flow { EventSet::IN } else { events };
            let event = EpollEvent::new(events, u64::from(self.generation) << 32 | slot as u64);
            if self.epoll.ctl(ControlOperation::Add, file, event).is_err() {
                self.free.push(slot);
                if slot == self.slots.len() {
                    self.slots.push(None);
                }
                return None;
            }
        }
        if let Flow::Client { listener, peer, .. } = flow {
            self.clients.insert((listener, peer), slot);
        }
        let entry = Some(Slot { flow, key, deadline_ns: u64::MAX, generation: self.generation });
        match self.slots.get_mut(slot) {
            Some(empty) => *empty = entry,
            None => self.slots.push(entry),
        }
        if let Some(key) = key {
            self.by_key.insert(key, slot);
        }
        Some(slot)
    }

    /// The slot of the flow with this name.
    pub fn find(&self, key: &Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The client at `peer` of the published port in the slot `listener`: its slot, and its ends as the guest sees them.
    pub fn find_client(&self, listener: usize, peer: SocketAddr) -> Option<(usize, Pair)> {
        let slot = *self.clients.get(&(listener, peer))?;
        let (_, pair) = self.slots.get(slot)?.as_ref()?.key?;
        Some((slot, pair))
    }

    /// The flow in a slot.
    pub fn get(&mut self, slot: usize) -> Option<&mut Flow> {
        self.slots.get_mut(slot)?.as_mut().map(|slot| &mut slot.flow)
    }

    /// Ends a flow; its socket is closed with it.
    pub fn remove(&mut self, slot: usize) -> Option<Flow> {
        let removed = self.slots.get_mut(slot)?.take()?;
        self.by_time.remove(&(removed.deadline_ns, slot));
        if let Some(key) = &removed.key {
            self.by_key.remove(key);
        }
        if let Flow::Client { listener, peer, .. } = removed.flow {
            self.clients.remove(&(listener, peer));
        }
        self.free.push(slot);
        Some(removed.flow)
    }

    /// The flow is to be looked at no later than this.
    pub fn set_deadline(&mut self, slot: usize, deadline_ns: u64) {
        let Some(Some(entry)) = self.slots.get_mut(slot) else { return };
        if entry.deadline_ns != deadline_ns {
            self.by_time.remove(&(entry.deadline_ns, slot));
            entry.deadline_ns = deadline_ns;
            if deadline_ns != u64::MAX {
                self.by_time.insert((deadline_ns, slot));
            }
        }
    }

    /// The earliest deadline.
    pub fn deadline_ns(&self) -> u64 {
        self.by_time.first().map_or(u64::MAX, |(deadline_ns, _)| *deadline_ns)
    }

    /// A flow whose deadline is over.
    pub fn due(&self, now_ns: u64) -> Option<usize> {
        self.by_time.first().filter(|(deadline_ns, _)| *deadline_ns <= now_ns).map(|(_, slot)| *slot)
    }

    /// Flows of whose sockets the host has something to say.
    pub fn stirred(&self) -> Vec<usize> {
        const EVENTS: usize = 64;
        let mut events = [EpollEvent::default(); EVENTS];
        // It fails only if a signal came, and none does.
        let count = self.epoll.wait(0, &mut events).unwrap_or(0);
        let slot = |event: &EpollEvent| {
            let (generation, slot) = ((event.data() >> 32) as u32, event.data() as u32 as usize);
            let is_same = self.slots.get(slot)?.as_ref()?.generation == generation;
            is_same.then_some(slot)
        };
        events.iter().take(count).filter_map(slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn there_are_no_more_flows_than_there_may_be() {
        let mut flows = Flows::new().expect("a descriptor");
        let end = |number: usize, last| {
            let [.., high, low] = number.to_be_bytes();
            SocketAddr::from((Ipv4Addr::new(10, high, low, last), 7))
        };
        let key = |number| (Protocol::Datagrams, Pair { guest: end(number, 1), far: end(number, 2) });
        // One that has no socket, of which nobody may have so many.
        let flow = |number| Flow::Client { listener: 0, peer: end(number, 2), until_ns: 0 };
        for number in 0..MAXIMUM {
            let slot = flows.add(Some(key(number)), flow(number)).expect("there is room");
            flows.set_deadline(slot, number as u64 + 1);
        }
        for beyond in [MAXIMUM, MAXIMUM + 1] {
            assert!(!flows.has_room());
            assert_eq!(flows.add(Some(key(beyond)), flow(beyond)), None);
            assert_eq!(flows.find(&key(beyond)), None, "nothing is left of it");
        }
        assert_eq!(flows.count(), MAXIMUM);
        let slot = flows.due(1).expect("the first one's time has come");
        assert!(flows.remove(slot).is_some() && flows.has_room());
        assert_eq!(flows.find(&key(0)), None);
        assert_eq!(flows.add(Some(key(MAXIMUM)), flow(MAXIMUM)), Some(slot), "it takes the place");
        assert_eq!((flows.count(), flows.find(&key(MAXIMUM))), (MAXIMUM, Some(slot)));
        assert!(!flows.has_room());
    }
}
