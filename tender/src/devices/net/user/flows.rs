//! Table of a guest's flows: indexed by their ends, by events of their sockets, and by deadline.
//!
//! Budgets bound the number of flows ([`super::budget`]).

use super::budget::{Admission, Budget, Limits, Party};
use super::listen::Listener;
use super::packet::{Pair, Protocol};
use super::pktinfo::PacketInfo;
use super::{datagrams, tcp};
use crate::confine::{Descriptors, Role};
use crate::host::time::monotonic_ns;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// Budget that pays for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Clients of published TCP ports.
    InboundTcp,
    /// Clients of published UDP ports, which take no descriptor.
    InboundUdp,
    /// Flows opened by the guest.
    Outbound,
    /// DNS queries of the guest.
    Dns,
}

const SECOND_NS: u64 = 1_000_000_000;
/// Limits of each account, in the order of declaration, if the host has descriptors for all.
const LIMITS: [Limits; 4] = [
    Limits { maximum: 8192, party: 4096, crowd: 512, in_use_ns: SECOND_NS },
    Limits { maximum: 4096, party: 1024, crowd: 0, in_use_ns: 0 },
    Limits { maximum: 4096, party: usize::MAX, crowd: usize::MAX, in_use_ns: SECOND_NS },
    Limits { maximum: 256, party: usize::MAX, crowd: 0, in_use_ns: 0 },
];
/// Descriptors reserved for other uses than flows: more than the tender has open besides them.
const OTHER_DESCRIPTORS: usize = 32;
/// Least limit of a party in a budget that has shrunk.
const FEW: usize = 64;

/// Limits of each account for a process that may have this number of `descriptors`: if these are too few, all limits but UDP's
/// shrink in proportion.
fn limits(descriptors: usize) -> [Limits; 4] {
    let taken = |account: &usize| *account != Account::InboundUdp as usize;
    let wanted: usize = (0..LIMITS.len()).filter(taken).map(|account| LIMITS[account].maximum).sum();
    let available = descriptors.saturating_sub(OTHER_DESCRIPTORS).min(wanted);
    std::array::from_fn(|account| {
        let limits = LIMITS[account];
        if !taken(&account) || available == wanted {
            return limits;
        }
        let maximum = (limits.maximum * available / wanted).max(1);
        let part = |whole: usize| if whole == usize::MAX { whole } else { whole * available / wanted };
        let few = |whole: usize| if whole == 0 { 0 } else { part(whole).max(FEW) };
        Limits { maximum, party: few(limits.party), crowd: few(limits.crowd), ..limits }
    })
}

/// Name of a flow.
pub type Key = (Protocol, Pair);

/// An entry of the table: any user of a host socket.
#[derive(Debug)]
pub enum Flow {
    /// A TCP connection.
    Stream(Box<tcp::Flow>),
    /// Datagrams or echoes, started by the guest.
    Datagrams(datagrams::Flow),
    /// Datagrams started by a client of a published port.
    Client {
        /// Slot of the published port.
        listener: usize,
        /// Address of the client.
        peer: SocketAddr,
        /// Address of the host that the client used last, if the socket has several.
        local: Option<PacketInfo>,
        /// Monotonic time of the last use, in nanoseconds.
        used_ns: u64,
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

    /// Monotonic time of the last use, in nanoseconds.
    fn used_ns(&self) -> u64 {
        match self {
            Self::Stream(flow) => flow.used_ns(),
            Self::Datagrams(flow) => flow.used_ns(),
            Self::Client { used_ns, .. } => *used_ns,
            Self::Listener(_) => u64::MAX,
        }
    }
}

#[derive(Debug)]
struct Slot {
    flow: Flow,
    key: Option<Key>,
    account: Option<Account>,
    deadline_ns: u64,
    /// Distinguishes this flow from an earlier one in the same slot.
    generation: u32,
}

/// Table of all flows.
#[derive(Debug)]
pub struct Flows {
    slots: Vec<Option<Slot>>,
    budgets: [Budget; 4],
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    /// Clients of published UDP ports: by the slot of the port and their address.
    clients: HashMap<(usize, SocketAddr), usize>,
    by_time: BTreeSet<(u64, usize)>,
    generation: u32,
    epoll: Epoll,
}

impl Flows {
    /// Creates an empty table, for a process that may have this number of descriptors.
    pub fn new(descriptors: usize) -> io::Result<Self> {
        Ok(Self {
            slots: Vec::new(),
            budgets: limits(descriptors).map(Budget::new),
            free: Vec::new(),
            by_key: HashMap::new(),
            clients: HashMap::new(),
            by_time: BTreeSet::new(),
            generation: 0,
            epoll: Epoll::new()?,
        })
    }

    /// Descriptor that is readable when a socket has an event (epoll).
    pub fn file(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Adds the epoll and all sockets to `descriptors`.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Watch, &self.epoll);
        let files = self.slots.iter().flatten().filter_map(|slot| slot.flow.file());
        files.for_each(|file| descriptors.add(Role::Published, &file));
    }

    /// Number of flows.
    #[cfg(any(test, fuzzing))]
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Number of flows that may be TCP connections.
    pub fn connections(&self) -> usize {
        let accounts = [Account::InboundTcp, Account::Outbound, Account::Dns];
        accounts.into_iter().map(|account| self.budgets[account as usize].count()).sum()
    }

    /// Asks for a place in `account` for a flow of `party`, or, if `None`, of a party not known yet.
    pub fn admit(&mut self, account: Account, party: Option<Party>) -> Admission {
        let slots = &self.slots;
        let used_ns = |slot: usize| slots.get(slot).and_then(Option::as_ref).map_or(0, |slot| slot.flow.used_ns());
        self.budgets[account as usize].admit(party, monotonic_ns(), used_ns)
    }

    /// Adds a published port; returns its slot, or `None` if the host does not watch its socket.
    pub fn add_listener(&mut self, listener: Listener) -> Option<usize> {
        self.insert(None, None, Flow::Listener(listener))
    }

    /// Adds a flow that was admitted to `account` for `party`; returns its slot, or `None` if the host does not watch its
    /// socket.
    pub fn add(&mut self, key: Key, account: Account, party: Party, flow: Flow) -> Option<usize> {
        let slot = self.insert(Some(key), Some(account), flow)?;
        self.budgets[account as usize].enter(slot, party, monotonic_ns());
        Some(slot)
    }

    fn insert(&mut self, key: Option<Key>, account: Option<Account>, flow: Flow) -> Option<usize> {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        self.generation = self.generation.wrapping_add(1);
        if let Some(file) = flow.file() {
            let events = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
            // A published port is level-triggered, so that clients that have no place yet are reported again.
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
        let entry = Some(Slot { flow, key, account, deadline_ns: u64::MAX, generation: self.generation });
        match self.slots.get_mut(slot) {
            Some(empty) => *empty = entry,
            None => self.slots.push(entry),
        }
        if let Some(key) = key {
            self.by_key.insert(key, slot);
        }
        Some(slot)
    }

    /// Slot of the flow with this name.
    pub fn find(&self, key: &Key) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// Slot of the client at `peer` of the published port in slot `listener`, and its ends as the guest sees them.
    pub fn find_client(&self, listener: usize, peer: SocketAddr) -> Option<(usize, Pair)> {
        let slot = *self.clients.get(&(listener, peer))?;
        let (_, pair) = self.slots.get(slot)?.as_ref()?.key?;
        Some((slot, pair))
    }

    /// Flow in a slot.
    pub fn get(&mut self, slot: usize) -> Option<&mut Flow> {
        self.slots.get_mut(slot)?.as_mut().map(|slot| &mut slot.flow)
    }

    /// Account that pays for the flow in a slot.
    pub fn account(&self, slot: usize) -> Option<Account> {
        self.slots.get(slot)?.as_ref()?.account
    }

    /// Turns events of the published port in a slot on or off: off while its clients cannot be accepted.
    pub fn listen(&mut self, slot: usize, listens: bool) {
        let Some(Some(Slot { flow: Flow::Listener(listener), generation, .. })) = self.slots.get(slot) else { return };
        let events = if listens { EventSet::IN } else { EventSet::empty() };
        let event = EpollEvent::new(events, u64::from(*generation) << 32 | slot as u64);
        // The socket was added before, and a change needs no memory, so this cannot fail.
        let _ = self.epoll.ctl(ControlOperation::Modify, listener.socket.as_raw_fd(), event);
    }

    /// Watches the new socket of a flow. Returns true if the host does.
    pub fn watch_again(&mut self, slot: usize) -> bool {
        let Some(Some(Slot { flow, generation, .. })) = self.slots.get(slot) else { return false };
        let events = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
        let event = EpollEvent::new(events, u64::from(*generation) << 32 | slot as u64);
        flow.file().is_some_and(|file| self.epoll.ctl(ControlOperation::Add, file, event).is_ok())
    }

    /// Ends a flow, and returns it; dropping it closes the socket.
    pub fn remove(&mut self, slot: usize) -> Option<Flow> {
        let removed = self.slots.get_mut(slot)?.take()?;
        self.by_time.remove(&(removed.deadline_ns, slot));
        if let Some(key) = &removed.key {
            self.by_key.remove(key);
        }
        if let Flow::Client { listener, peer, .. } = removed.flow {
            self.clients.remove(&(listener, peer));
        }
        if let Some(account) = removed.account {
            self.budgets[account as usize].leave(slot);
        }
        self.free.push(slot);
        Some(removed.flow)
    }

    /// Sets the time at which the flow is served at the latest.
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

    /// Earliest deadline.
    pub fn deadline_ns(&self) -> u64 {
        self.by_time.first().map_or(u64::MAX, |(deadline_ns, _)| *deadline_ns)
    }

    /// A flow with a deadline that has passed.
    pub fn due(&self, now_ns: u64) -> Option<usize> {
        self.by_time.first().filter(|(deadline_ns, _)| *deadline_ns <= now_ns).map(|(_, slot)| *slot)
    }

    /// Slots of flows with pending socket events.
    pub fn ready(&self) -> Vec<usize> {
        const EVENTS: usize = 64;
        let mut events = [EpollEvent::default(); EVENTS];
        // The call fails only with EINTR, and no signal arrives here.
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

    fn flows(descriptors: usize) -> Flows {
        Flows::new(descriptors).expect("a descriptor")
    }

    /// Adds a UDP client, which needs no socket, with an address of its own if it is `alone`.
    fn add(flows: &mut Flows, number: usize, alone: bool) -> usize {
        let [.., high, low] = number.to_be_bytes();
        let peer = SocketAddr::from((Ipv4Addr::new(10, high, low, 1), 7));
        let party = Party::of(if alone { peer.ip() } else { [192, 0, 2, 1].into() });
        match flows.admit(Account::InboundUdp, Some(party)) {
            Admission::Room => {}
            Admission::InsteadOf(slot) => drop(flows.remove(slot).expect("it is there")),
            Admission::Refused => panic!("clients of UDP give way"),
        }
        let pair = Pair { guest: SocketAddr::from((Ipv4Addr::LOCALHOST, 7)), far: peer };
        let flow = Flow::Client { listener: 0, peer, local: None, used_ns: monotonic_ns() };
        flows.add((Protocol::Datagrams, pair), Account::InboundUdp, party, flow).expect("it needs no socket")
    }

    #[test]
    fn there_are_no_more_flows_than_there_may_be() {
        let [_, udp, ..] = LIMITS;
        let mut flows = flows(usize::MAX);
        let first = add(&mut flows, 0, true);
        let (_, pair) = flows.slots[first].as_ref().and_then(|slot| slot.key).expect("it has a name");
        for number in 1..2 * udp.party {
            add(&mut flows, number, false);
        }
        assert_eq!(flows.count(), 1 + udp.party, "a party has no more than its own");
        assert_eq!(flows.find(&(Protocol::Datagrams, pair)), Some(first), "another is not touched");
        for number in 2 * udp.party..2 * udp.party + udp.maximum {
            add(&mut flows, number, true);
        }
        assert_eq!(flows.count(), udp.maximum);
        assert_eq!(flows.connections(), 0, "they have a budget of their own");
        assert_eq!(flows.admit(Account::InboundTcp, None), Admission::Room);
        let count = (flows.by_key.len(), flows.clients.len(), flows.by_time.len());
        assert_eq!(count, (udp.maximum, udp.maximum, 0), "nothing is left of those that are gone");
    }

    #[test]
    fn few_descriptors_are_shared_in_proportion() {
        assert_eq!(limits(usize::MAX), LIMITS);
        for descriptors in [36, 44, 256, 1024, 4096, 12_000] {
            let [tcp, udp, outbound, dns] = limits(descriptors);
            let sum = tcp.maximum + outbound.maximum + dns.maximum;
            assert!(sum <= descriptors - OTHER_DESCRIPTORS + 1, "{descriptors}: {sum}");
            assert!(tcp.maximum >= outbound.maximum && dns.maximum > 0 && udp == LIMITS[1], "{descriptors}");
        }
        assert!(limits(0).iter().all(|limits| limits.maximum > 0));
    }
}
