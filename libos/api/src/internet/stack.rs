//! The stack on a network device: smoltcp's interface, fed with one socket at a time.
//!
//! smoltcp looks for whom a packet is, and who has something to send, in all sockets of a set, which with ten thousand
//! connections takes longer than everything else. So each connection is a set of its own here. Whoever owns the sockets
//! looks for that of a packet by its addresses, in a table, and notes when each wants to be looked after next. The price
//! of a packet is the same with one connection and with all of them.

use super::lease::Lease;
use super::wire::{Exchange, Limits, Sender, Wire};
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use hashbrown::HashMap;
use husk_abi::device::{self, Network, source};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

/// Whose alarm it is when it is no socket's: the interface's own.
const HOUSE: u32 = u32::MAX;
/// How often members of groups, and questions for routers, are looked after, in nanoseconds.
const REPORT: u64 = 1_000_000_000;
/// For how long routers are asked, in nanoseconds: three times, RFC 4861 says, and four seconds between.
const QUESTIONS: u64 = 12_000_000_000;
/// Port of those who ask for an address: RFC 2131.
const LEASE_PORT: u16 = 68;
/// Nanoseconds in a microsecond, which is what the stack counts time in.
const MICROSECOND: u64 = 1000;
/// How long after an attempt for which there was no room the next one is made, in nanoseconds.
pub const AGAIN: u64 = 1_000_000;

/// What is on a wire. Its sockets belong to somebody else, who knows them by a `K`.
pub struct Stack<K> {
    /// smoltcp's part of it.
    pub interface: Interface,
    /// Connections by their own address and that of the other end.
    pub connections: HashMap<(SocketAddr, SocketAddr), K>,
    /// When sockets want to be looked after. One that has moved its time on is looked at too early, which does no harm.
    alarms: BinaryHeap<Reverse<(u64, u32)>>,
    /// Sockets that cannot send before a neighbour has answered, or the device has room.
    pub stalled: Vec<K>,
    /// Connections that are being opened by the other side, the oldest first; and some that were.
    pub opening: VecDeque<K>,
    /// Groups, and how often each was joined.
    groups: Vec<(IpAddr, usize)>,
    /// How the network is asked for an address.
    lease: Option<Lease>,
    /// No sockets.
    nobody: SocketSet<'static>,
    /// What its wire can do.
    pub limits: Limits,
    /// Name servers.
    servers: Vec<IpAddr>,
    /// Whether nobody has been told of the name servers yet.
    servers_changed: bool,
    /// Whether routers are asked for an IPv6 address, and until when that is said again, in nanoseconds.
    asks_routers: bool,
    asks_until: u64,
    /// Whether there is a router for each family, or somebody has been asked for one.
    routed: [bool; 2],
}

impl<K> fmt::Debug for Stack<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

/// A monotonic time in nanoseconds as the stack has it.
pub fn instant(ns: u64) -> Instant {
    Instant::from_micros((ns / MICROSECOND) as i64)
}

/// The monotonic time in nanoseconds at which the stack's is not earlier.
fn nanoseconds(instant: Instant) -> u64 {
    (instant.total_micros().max(0) as u64).saturating_mul(MICROSECOND)
}

/// An address of those that a device's properties tell.
fn told(bytes: &[u8; 16], v4: bool) -> Option<IpAddr> {
    let address: IpAddr = match bytes.first_chunk::<4>() {
        Some(first) if v4 => (*first).into(),
        _ => (*bytes).into(),
    };
    (!address.is_unspecified()).then_some(address)
}

/// Whether an address can be that of one machine.
fn is_unicast(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Whether an address is of IPv6, and means something on its own link only.
fn is_on_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

impl<K> Stack<K> {
    /// The stack on a wire, whose properties are `network`. `seed` is random, and serves no other purpose.
    pub fn new(wire: &mut dyn Wire, network: &Network, seed: u64, now: u64) -> Self {
        let (mac, limits) = (wire.address(), Limits::of(&*wire));
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = seed;
        config.slaac = network.v6.source == source::ASK;
        let mut exchange = Exchange { frame: None, sender: wire.sender(), limits };
        let interface = Interface::new(config, &mut exchange, instant(now));
        let mut stack = Self {
            interface,
            connections: HashMap::new(),
            alarms: BinaryHeap::new(),
            stalled: Vec::new(),
            opening: VecDeque::new(),
            groups: Vec::new(),
            lease: None,
            nobody: SocketSet::new(Vec::new()),
            limits,
            servers: Vec::new(),
            servers_changed: false,
            asks_routers: network.v6.source == source::ASK,
            asks_until: now + QUESTIONS,
            routed: [false, network.v6.source == source::ASK],
        };
        stack.configure(network, mac);
        stack.alarms.push(Reverse((now, HOUSE)));
        stack
    }

    /// When somebody wants to be looked after next, as a monotonic time in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.alarms.peek().map(|Reverse((at, _))| *at)
    }

    /// Gives the interface the addresses that the device was attached with.
    fn configure(&mut self, network: &Network, mac: [u8; 6]) {
        let [a, b, c, d, e, f] = mac;
        // RFC 4291, appendix A.
        let local = Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        self.add_address(local.into(), 64);
        for (given, v4) in [(&network.v4, true), (&network.v6, false)] {
            self.give(given, v4);
        }
        if network.v4.source == source::ASK {
            self.lease = Some(Lease::new());
        }
    }

    fn give(&mut self, given: &device::Address, v4: bool) {
        if given.source == source::GIVEN
            && let Some(address) = told(&given.address, v4)
        {
            self.add_address(address, given.prefix);
            self.set_router(told(&given.gateway, v4));
        }
        self.servers.extend(told(&given.name_server, v4));
        self.servers_changed = !self.servers.is_empty();
    }

    fn add_address(&mut self, address: IpAddr, prefix: u8) {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if is_unicast(address) && prefix <= longest {
            self.interface.update_ip_addrs(|addresses| {
                // If there are more than there is room for, the first ones serve.
                let _ = addresses.push(IpCidr::new(address.into(), prefix));
            });
        }
    }

    fn set_router(&mut self, router: Option<IpAddr>) {
        let routes = self.interface.routes_mut();
        if let Some(router) = router {
            self.routed[usize::from(router.is_ipv6())] = true;
        }
        // There is room for one of each family.
        match router {
            Some(IpAddr::V4(router)) => drop(routes.add_default_ipv4_route(router)),
            Some(IpAddr::V6(router)) => drop(routes.add_default_ipv6_route(router)),
            None => {}
        }
    }

    /// Takes what a lease says, which may be that there is none any more.
    fn take_lease(&mut self) {
        let Some(terms) = self.lease.as_mut().and_then(Lease::changed) else { return };
        self.interface.update_ip_addrs(|addresses| addresses.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_))));
        self.interface.routes_mut().remove_default_ipv4_route();
        if let Some((address, prefix)) = terms.address {
            self.add_address(address.into(), prefix);
        }
        self.set_router(terms.router.map(IpAddr::V4));
        if self.servers.is_empty() {
            self.servers = terms.servers;
            self.servers_changed = true;
        }
    }

    /// Whether the network has been asked for an address, and has not answered.
    pub fn is_asking(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_asking)
    }

    /// Whether the network has been asked for an address from which packets can go to `to`, and has not answered: but it
    /// need not, if there is no router for IPv6.
    pub fn awaits(&self, to: IpAddr) -> bool {
        match to {
            to if to.is_loopback() || is_on_link(to) => false,
            IpAddr::V4(_) => self.is_asking(),
            IpAddr::V6(_) => self.awaits_router(),
        }
    }

    /// Whether no router has told of an IPv6 address that could.
    fn awaits_router(&self) -> bool {
        let reaches = |cidr: &IpCidr| matches!(cidr, IpCidr::Ipv6(_)) && !is_on_link(cidr.address().into());
        self.asks_routers && !self.interface.ip_addrs().iter().any(reaches)
    }

    /// The name servers that it was told of.
    pub fn name_servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// Text of `/etc/resolv.conf`, if the name servers have changed.
    pub fn resolver(&mut self) -> Option<Vec<u8>> {
        use core::fmt::Write;
        if !core::mem::take(&mut self.servers_changed) {
            return None;
        }
        let mut text = alloc::string::String::new();
        for server in &self.servers {
            // Writing to a string does not fail.
            let _ = writeln!(text, "nameserver {server}");
        }
        Some(text.into_bytes())
    }

    /// The address that packets to `to` come from; nothing if there is no way.
    pub fn source(&self, to: IpAddr) -> Option<IpAddr> {
        let found: Option<IpAddr> = self.interface.get_source_address(&to.into()).map(Into::into);
        let near = self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&to.into()));
        let reached = near || self.routed[usize::from(to.is_ipv6())] || !is_unicast(to);
        // Nobody beyond the link could answer an address of the link.
        let stays = |found: &IpAddr| is_on_link(*found) && !is_on_link(to) && is_unicast(to);
        let usable = |found: &IpAddr| {
            found.is_ipv4() == to.is_ipv4() && !found.is_unspecified() && !found.is_loopback() && !stays(found)
        };
        found.filter(|found| reached && usable(found))
    }

    /// Lets a set take a frame, and answer it.
    pub fn take(&mut self, frame: &[u8], sender: &mut dyn Sender, set: Option<&mut SocketSet<'static>>, now: u64) {
        let mut exchange = Exchange { frame: Some(frame), sender, limits: self.limits };
        let is_for_nobody = set.is_none();
        self.interface.poll_ingress_single(instant(now), &mut exchange, set.unwrap_or(&mut self.nobody));
        if is_for_nobody {
            // What a router has told is heeded only now.
            self.interface.poll_maintenance(instant(now));
        }
    }

    /// Joins a group, once for each time that this is called. Whether there was room for one more.
    pub fn join(&mut self, group: IpAddr, sender: &mut dyn Sender, now: u64) -> bool {
        if let Some((_, members)) = self.groups.iter_mut().find(|(joined, _)| *joined == group) {
            *members += 1;
            return true;
        }
        let joined = self.groups.try_reserve(1).is_ok() && self.interface.join_multicast_group(group).is_ok();
        if joined {
            self.groups.push((group, 1));
            self.look_after_house(sender, now);
        }
        joined
    }

    /// Leaves a group that was joined, when this has been called as often.
    pub fn leave(&mut self, group: IpAddr, sender: &mut dyn Sender, now: u64) {
        let Some(place) = self.groups.iter().position(|(joined, _)| *joined == group) else { return };
        self.groups[place].1 -= 1;
        if self.groups[place].1 == 0 {
            self.groups.swap_remove(place);
            // Nothing can be wrong with an address that was joined.
            let _ = self.interface.leave_multicast_group(group);
            self.look_after_house(sender, now);
        }
    }

    /// Whether a datagram to this address is for none of the sockets.
    pub fn is_for_house(&self, to: SocketAddr) -> bool {
        to.port() == LEASE_PORT && self.lease.is_some()
    }

    /// Takes a frame with such a datagram.
    pub fn take_for_house(&mut self, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        let mut lease = self.lease.take();
        self.take(frame, sender, lease.as_mut().map(|lease| &mut lease.set), now);
        self.lease = lease;
        self.look_after_house(sender, now);
    }

    /// Lets a set send what it has. Whether it has sent anything, and when it wants to be looked after.
    pub fn send(&mut self, sender: &mut dyn Sender, set: &mut SocketSet<'static>, now: u64) -> (bool, Option<u64>) {
        let (mut sent, instant) = (false, instant(now));
        loop {
            let mut exchange = Exchange { frame: None, sender: &mut *sender, limits: self.limits };
            match self.interface.poll_egress(instant, &mut exchange, set) {
                PollResult::SocketStateChanged => sent = true,
                PollResult::None => break,
            }
        }
        (sent, self.interface.poll_at(instant, set).map(nanoseconds))
    }

    /// Notes when somebody wants to be looked after, who so far has wanted that at `before`. Tells when that will be.
    pub fn schedule(&mut self, index: u32, before: u64, at: Option<u64>) -> u64 {
        match at {
            Some(at) if at < before => {
                self.alarms.push(Reverse((at, index)));
                at
            }
            _ => before,
        }
    }

    /// Who wanted to be looked after by now, and when, if somebody did. The house is looked after here.
    pub fn due(&mut self, sender: &mut dyn Sender, now: u64) -> Option<(u64, u32)> {
        while let Some(Reverse((at, index))) = self.alarms.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.alarms.pop();
            if index != HOUSE {
                return Some((at, index));
            }
            self.look_after_house(sender, now);
        }
        None
    }

    /// Does what no socket asked for.
    fn look_after_house(&mut self, sender: &mut dyn Sender, now: u64) {
        self.interface.poll_maintenance(instant(now));
        let mut lease = self.lease.take();
        let mut nobody = SocketSet::new(Vec::new());
        let set = lease.as_mut().map_or(&mut nobody, |lease| &mut lease.set);
        let (_, at) = self.send(sender, set, now);
        self.lease = lease;
        // What wants to be done at once has not found room: a little later it may.
        let at = at.map(|at| at.max(now + AGAIN));
        // smoltcp does not say when it wants to answer those who ask for members of groups, nor, without a lease, when it
        // wants to ask for routers again.
        let asks = now < self.asks_until && self.awaits_router();
        let report = (asks || !self.groups.is_empty()).then_some(now + REPORT);
        self.schedule(HOUSE, u64::MAX, at.into_iter().chain(report).min());
        self.take_lease();
    }
}
