//! The user-mode network: a guest reaches the world through ordinary sockets of the host, without any privilege.
//!
//! The tender plays everybody whom the guest talks to. It takes the guest's frames apart (`packet`), ends its TCP
//! connections in a stack of its own (`stack`) and passes their data on to a socket of the host (`tcp`); datagrams
//! and questions for echoes go through sockets too (`datagrams`), and so do those of names (`dns`); what concerns the
//! network itself is answered here (`local`). Clients of published ports (`listen`) come in the other way round. Addresses
//! are in [`addresses`]; where the guest may connect to is the matter of [`policy`].
//!
//! Packets in parts are dropped: a guest that heeds the MTU, which is that of the longest packet, makes none.
//!
//! Everything is bounded: the number of flows, the bytes that wait in each, and those that wait for the guest
//! (`outbox`).

#![expect(unsafe_code, reason = "limits of the process have no other interface")]

pub mod addresses;
mod datagrams;
mod destination;
mod dns;
mod flows;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod listen;
mod local;
mod outbox;
mod packet;
pub mod policy;
pub mod publish;
mod routes;
mod stack;
mod tcp;

use super::{Parts, Received, Unreachable, Wire};
use crate::clock::monotonic_ns;
use crate::devices::copy;
use addresses::{Place, place};
use flows::{Flow, Flows, Key, Protocol};
use husk_abi::device::Offload;
use listen::Listener;
use outbox::Outbox;
use packet::{Echo, Packet, Pair};
use policy::Policy;
use publish::Publish;
use routes::Routes;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use tcp::Next;

/// Most bytes of a frame beyond its header: what the longest datagram takes.
pub const MTU: u16 = 65_520;
/// How long a client of a published port of datagrams is remembered, in nanoseconds.
const CLIENT_NS: u64 = 120_000_000_000;
/// Clients that are let in from one published port before others have their turn.
const ACCEPTED: usize = 64;

/// What is said of a user-mode network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Ports of the host that lead to the guest.
    pub publish: Vec<Publish>,
    /// Where the guest may connect to.
    pub policy: Policy,
}

/// One guest's network.
#[derive(Debug)]
pub struct Network {
    flows: Flows,
    outbox: Outbox,
    policy: Policy,
    /// What the host says of its addresses, where it matters.
    routes: Option<Routes>,
    /// The host's name servers, and which of them is asked.
    resolvers: Vec<IpAddr>,
    resolver: usize,
    /// Flows that have something to do.
    busy: BTreeSet<usize>,
    frame: Vec<u8>,
}

impl Network {
    /// Makes the network, and publishes its ports.
    pub fn open(options: &Options, guest_mac: [u8; 6]) -> Result<Self, String> {
        copy::prepare();
        allow_descriptors();
        let mut flows = Flows::new().map_err(|error| format!("the host gives no descriptor: {error}"))?;
        for publish in &options.publish {
            flows.add(None, Flow::Listener(Listener::open(*publish)?)).ok_or("too many ports are published")?;
        }
        let routes = match Routes::open() {
            Ok(routes) => Some(routes),
            Err(_) if options.policy.allows_host() => None,
            Err(error) => {
                return Err(format!(
                    "the host does not tell its own addresses, which the guest is kept from (AF_NETLINK: {error}); \
                     --allow host lets it connect to them"
                ));
            }
        };
        Ok(Self {
            flows,
            outbox: Outbox::new(guest_mac),
            routes,
            policy: options.policy.clone(),
            resolvers: resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
            resolver: 0,
            busy: BTreeSet::new(),
            frame: Vec::new(),
        })
    }

    /// Takes a frame of the guest's, whatever it is.
    fn take(&mut self, frame: &[u8]) {
        let Some((packet, mac)) = Packet::parse(frame) else { return };
        self.outbox.guest_mac = mac;
        match packet {
            Packet::WhoHas4 { from, wanted } => local::who_has_v4(from, wanted, &mut self.outbox),
            Packet::WhoHas6 { from, wanted } => local::who_has_v6(from, wanted, &mut self.outbox),
            Packet::WhoRoutes { from } => local::who_routes(from, &mut self.outbox),
            Packet::Udp { pair, payload } if is_dhcp(&pair) => local::dhcp(payload, &mut self.outbox),
            Packet::Tcp { pair, opens, resets, packet } if addresses::is_guest(pair.guest.ip()) => {
                self.segment(pair, opens, resets, packet);
            }
            Packet::Udp { pair, payload } if addresses::is_guest(pair.guest.ip()) => self.datagram(pair, payload),
            Packet::Echo(echo) if addresses::is_guest(echo.guest) => self.echo(&echo),
            _ => {}
        }
    }

    fn target(&mut self, far: SocketAddr) -> Option<SocketAddr> {
        let resolver = self.resolvers.get(self.resolver).copied();
        let routes = &mut self.routes;
        // An address of which nothing is known counts as the host's own.
        self.policy.target(far, resolver, |address| routes.as_mut().is_none_or(|routes| routes.is_local(address)))
    }

    fn segment(&mut self, pair: Pair, opens: bool, resets: bool, packet: &[u8]) {
        let key = (Protocol::Stream, pair);
        if let Some(slot) = self.flows.find(&key) {
            if let Some(Flow::Stream(flow)) = self.flows.get(slot) {
                let next = flow.take(packet, resets, &mut self.outbox);
                self.go_on(slot, next);
            }
            return;
        }
        let opened = match self.target(pair.far) {
            // It asks again; somebody may have left by then.
            Some(_) if opens && !self.flows.has_room() => return,
            Some(target) if opens => {
                let room = stack::buffer(self.flows.count());
                tcp::Flow::open(pair, room, packet, target, addresses::is_dns(pair.far)).ok()
            }
            _ => None,
        };
        match opened {
            Some(flow) => self.begin(key, Flow::Stream(Box::new(flow))),
            // Nobody has that address, or many do.
            None if resets || place(pair.far.ip()) == Place::Nowhere => {}
            None => stack::refuse(pair, packet, &mut self.outbox),
        }
    }

    fn datagram(&mut self, pair: Pair, payload: &[u8]) {
        let key = (Protocol::Datagrams, pair);
        let is_dns = addresses::is_dns(pair.far);
        let query = if is_dns { dns::Query::parse(payload) } else { None };
        if is_dns && query.is_none() {
            return datagrams::refuse(pair, &mut self.outbox);
        }
        let slot = match self.flows.find(&key) {
            Some(slot) => Some(slot),
            // It is lost, as datagrams may be.
            None if !self.flows.has_room() => None,
            None => {
                let target = self.target(pair.far);
                let open = |target| match is_dns {
                    true => datagrams::Flow::queries(pair, target),
                    false => datagrams::Flow::datagrams(pair, target),
                };
                match target.and_then(|target| open(target).ok()) {
                    Some(flow) => self.flows.add(Some(key), Flow::Datagrams(flow)),
                    None if place(pair.far.ip()) == Place::Nowhere => None,
                    None => return datagrams::refuse(pair, &mut self.outbox),
                }
            }
        };
        let Some(slot) = slot else { return };
        match self.flows.get(slot) {
            Some(Flow::Datagrams(flow)) => {
                query.into_iter().for_each(|query| flow.expect_answer(query));
                flow.send(payload, &mut self.outbox);
                let deadline_ns = flow.deadline_ns();
                self.flows.set_deadline(slot, deadline_ns);
            }
            Some(Flow::Client { listener, peer, until_ns }) => {
                *until_ns = monotonic_ns() + CLIENT_NS;
                let (listener, peer, until_ns) = (*listener, *peer, *until_ns);
                self.flows.set_deadline(slot, until_ns);
                if let Some(Flow::Listener(listener)) = self.flows.get(listener) {
                    listener.send(payload, peer);
                }
            }
            _ => {}
        }
    }

    fn echo(&mut self, echo: &Echo<'_>) {
        if matches!(place(echo.far), Place::Gateway | Place::NameServer | Place::Host) {
            return datagrams::give_echo(echo, &mut self.outbox);
        }
        let pair = Pair { guest: SocketAddr::new(echo.guest, echo.identifier), far: SocketAddr::new(echo.far, 0) };
        let key = (Protocol::Echoes, pair);
        let slot = self.flows.find(&key).or_else(|| {
            let target = self.target(pair.far)?.ip();
            let flow = datagrams::Flow::echoes(pair, echo.identifier, target).ok()?;
            self.flows.add(Some(key), Flow::Datagrams(flow))
        });
        if let Some(slot) = slot
            && let Some(Flow::Datagrams(flow)) = self.flows.get(slot)
        {
            flow.ask(echo, &mut self.outbox);
            let deadline_ns = flow.deadline_ns();
            self.flows.set_deadline(slot, deadline_ns);
        }
    }

    fn begin(&mut self, key: Key, flow: Flow) {
        if let Some(slot) = self.flows.add(Some(key), flow) {
            self.busy.insert(slot);
        }
    }

    /// Serves the flow in `slot`.
    fn serve(&mut self, slot: usize) {
        let next = match self.flows.get(slot) {
            Some(Flow::Stream(flow)) => flow.serve(&mut self.outbox),
            Some(Flow::Datagrams(flow)) => match flow.serve(&mut self.outbox) {
                _ if flow.deadline_ns() <= monotonic_ns() => Next::Over,
                true => Next::More,
                false => Next::Wait,
            },
            Some(Flow::Client { until_ns, .. }) if *until_ns <= monotonic_ns() => Next::Over,
            Some(Flow::Client { .. }) | None => Next::Wait,
            Some(Flow::Listener(_)) => self.welcome(slot),
        };
        self.go_on(slot, next);
    }

    fn go_on(&mut self, slot: usize, next: Next) {
        match next {
            Next::More => drop(self.busy.insert(slot)),
            Next::Over => {
                self.busy.remove(&slot);
                if let Some(Flow::Datagrams(flow)) = self.flows.remove(slot)
                    && flow.was_ignored()
                {
                    self.resolver = (self.resolver + 1) % self.resolvers.len().max(1);
                }
                return;
            }
            Next::Wait => {}
        }
        let deadline_ns = match self.flows.get(slot) {
            Some(Flow::Stream(flow)) => flow.deadline_ns(),
            Some(Flow::Datagrams(flow)) => flow.deadline_ns(),
            Some(Flow::Client { until_ns, .. }) => *until_ns,
            Some(Flow::Listener(_)) | None => u64::MAX,
        };
        self.flows.set_deadline(slot, deadline_ns);
    }

    /// Lets clients of a published port in.
    fn welcome(&mut self, slot: usize) -> Next {
        for _ in 0..ACCEPTED {
            if !self.flows.has_room() || !self.outbox.has_room() {
                // The host keeps them until there is.
                return Next::Wait;
            }
            let Some(Flow::Listener(listener)) = self.flows.get(slot) else { return Next::Wait };
            let guest_port = listener.publish.guest;
            if listener.publish.udp {
                let mut payload = vec![0; usize::from(u16::MAX)];
                let Some((length, peer)) = listener.receive(&mut payload) else { return Next::Wait };
                if let Some(pair) = self.client(slot, peer, guest_port) {
                    self.outbox.push_datagram(pair.far, pair.guest, &payload[..length]);
                }
            } else {
                let Some((socket, peer)) = listener.accept() else { return Next::Wait };
                let pair = self.free_pair(Protocol::Stream, peer, guest_port);
                let room = stack::buffer(self.flows.count());
                if let Some(flow) = tcp::Flow::publish(pair, room, socket, &mut self.outbox) {
                    self.begin((Protocol::Stream, pair), Flow::Stream(Box::new(flow)));
                }
            }
        }
        Next::More
    }

    /// The ends of a new flow from the client at `peer`, as the guest sees them. They belong to no other flow: a client
    /// whose own address is not for the guest, or is taken, appears as a port of the gateway.
    fn free_pair(&self, protocol: Protocol, peer: SocketAddr, guest_port: u16) -> Pair {
        let mut far = addresses::client(peer);
        loop {
            let pair = Pair { guest: SocketAddr::new(addresses::guest(far.ip()), guest_port), far };
            // There are fewer flows than ports.
            if self.flows.find(&(protocol, pair)).is_none() {
                return pair;
            }
            far = SocketAddr::new(addresses::v4(2).into(), far.port().wrapping_add(1).max(1024));
        }
    }

    /// Remembers the client at `peer` of the published port of datagrams in the slot `listener`, and returns its ends as
    /// the guest sees them; nothing if there is no room for it.
    fn client(&mut self, listener: usize, peer: SocketAddr, guest_port: u16) -> Option<Pair> {
        let until_ns = monotonic_ns() + CLIENT_NS;
        let (slot, pair) = self.flows.find_client(listener, peer).or_else(|| {
            let pair = self.free_pair(Protocol::Datagrams, peer, guest_port);
            let slot = self.flows.add(Some((Protocol::Datagrams, pair)), Flow::Client { listener, peer, until_ns })?;
            Some((slot, pair))
        })?;
        if let Some(Flow::Client { until_ns: remembered, .. }) = self.flows.get(slot) {
            *remembered = until_ns;
        }
        self.flows.set_deadline(slot, until_ns);
        Some(pair)
    }
}

/// Lets this process have as many descriptors as it may: each flow takes one. Without, there are fewer flows.
fn allow_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a variable of ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

fn is_dhcp(pair: &Pair) -> bool {
    let to_server = matches!(pair.far.ip(), IpAddr::V4(to) if to == Ipv4Addr::BROADCAST || to == addresses::v4(2));
    to_server && pair.far.port() == local::DHCP_PORT
}

/// The name servers that a resolv.conf(5) names.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let named = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    text.lines().filter_map(named).collect()
}

impl Wire for Network {
    fn send(&mut self, frame: &Parts, _: Offload) -> Result<(), Unreachable> {
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        copy::from_guest(frame, &mut bytes)?;
        self.take(&bytes);
        self.frame = bytes;
        Ok(())
    }

    fn receive(&mut self, into: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
        let Some(frame) = self.outbox.first() else { return Ok(None) };
        let length = frame.len();
        let fits = length <= into.length();
        if fits {
            copy::to_guest(into, frame)?;
        }
        self.outbox.pop();
        Ok(Some(if fits { Received::Frame { length, checked: false } } else { Received::Dropped }))
    }

    fn work(&mut self) -> bool {
        if !self.outbox.has_room() {
            return false;
        }
        let stirred = self.flows.stirred();
        let mut done = !stirred.is_empty();
        for slot in stirred {
            if let Some(Flow::Stream(flow)) = self.flows.get(slot) {
                flow.stir();
            }
            self.busy.insert(slot);
        }
        let now_ns = monotonic_ns();
        while let Some(slot) = self.flows.due(now_ns) {
            self.flows.set_deadline(slot, u64::MAX);
            self.busy.insert(slot);
        }
        for slot in std::mem::take(&mut self.busy) {
            done = true;
            match self.outbox.has_room() {
                true => self.serve(slot),
                false => drop(self.busy.insert(slot)),
            }
        }
        done
    }

    fn file(&self) -> RawFd {
        self.flows.file()
    }

    fn events(&self, _: bool) -> i16 {
        if self.outbox.has_room() { libc::POLLIN } else { 0 }
    }

    fn deadline_ns(&self) -> u64 {
        match (self.outbox.has_room(), self.busy.is_empty()) {
            // The guest has to take something first.
            (false, _) => u64::MAX,
            (true, true) => self.flows.deadline_ns(),
            (true, false) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
