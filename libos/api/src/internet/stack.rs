//! The TCP/IP stack of a network device: smoltcp's interface, called with one socket at a time.
//!
//! smoltcp searches all sockets of a set for the receiver of a packet and for pending output, which with ten thousand
//! connections takes longer than everything else. Therefore each connection is a set of its own here. The [`driver`](super::driver)
//! finds the one of a packet by its addresses, in a table, and keeps a timer for each. The cost of a packet does not depend on
//! the number of connections.

use super::announce::announce;
use super::frame;
use super::held::Held;
use super::lease::Lease;
use super::waiting::{Waiting, Want};
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

/// Timer id of the interface itself, as opposed to a socket slot.
const INTERFACE: u32 = u32::MAX;
/// Interval of group membership reports and router solicitations, in nanoseconds.
const REPORT: u64 = 1_000_000_000;
/// Duration of router solicitation, in nanoseconds: three messages by RFC 4861, four seconds apart.
const QUESTIONS: u64 = 12_000_000_000;
/// Port of DHCP clients: RFC 2131.
const LEASE_PORT: u16 = 68;
/// Nanoseconds in a microsecond, the stack's unit of time.
const MICROSECOND: u64 = 1000;
/// Delay of a retry after an attempt that found no room, in nanoseconds.
pub const AGAIN: u64 = 1_000_000;

/// Stack on one wire. The sockets belong to the [`Owner`](super::driver::Owner), which identifies them by number (`slot`).
pub struct Stack {
    /// Interface of smoltcp.
    pub interface: Interface,
    /// Connections by local and peer address.
    pub connections: HashMap<(SocketAddr, SocketAddr), u32>,
    /// Timers of sockets. A timer that was postponed since causes an early, harmless call.
    alarms: BinaryHeap<Reverse<(u64, u32)>>,
    /// Sockets that cannot send before a neighbour has answered (ARP, NDP), or the device has room.
    pub stalled: Waiting,
    /// Frames whose answers wait for a neighbour.
    pub(super) held: Held,
    /// Connections that peers are opening, the oldest first, each with the time of its SYN in nanoseconds.
    pub(super) opening: VecDeque<(u32, u64)>,
    /// Multicast groups, and the number of joins of each.
    groups: Vec<(IpAddr, usize)>,
    /// DHCP client, if the network is asked for an address.
    lease: Option<Lease>,
    /// Addresses that are not announced yet.
    unannounced: Vec<IpAddr>,
    /// An empty set.
    nobody: SocketSet<'static>,
    /// Properties of the wire.
    pub limits: Limits,
    mac: EthernetAddress,
    /// Name servers.
    servers: Vec<IpAddr>,
    /// True if the name servers have changed since the last call of `resolver`.
    servers_changed: bool,
    /// True if routers are asked for an IPv6 address; and the end of the repeated solicitations, in nanoseconds.
    asks_routers: bool,
    asks_until: u64,
    /// Routers of each family (IPv4, IPv6) that were configured, or leased.
    routers: [Option<IpAddr>; 2],
    /// True for each family (IPv4, IPv6) that has a router, or for which one has been solicited.
    routed: [bool; 2],
}

/// Result of an attempt to send the pending output of sockets.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// True if a packet was sent.
    pub sent: bool,
    /// True if a packet could not be sent: for want of its receiver's hardware address, or of room in the device.
    pub blocked: bool,
    /// Monotonic time of the next timer, in nanoseconds.
    pub at: Option<u64>,
}

/// Machine on the link that is known, or asked for.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// Address of the network layer.
    pub address: IpAddr,
    /// Hardware address; `None` as long as the machine has not answered.
    pub mac: Option<[u8; 6]>,
    /// True if packets are sent there without another request.
    pub is_fresh: bool,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

/// Converts a monotonic time in nanoseconds to the stack's time.
pub fn instant(ns: u64) -> Instant {
    Instant::from_micros((ns / MICROSECOND) as i64)
}

/// Converts the stack's time to a monotonic time in nanoseconds.
fn nanoseconds(instant: Instant) -> u64 {
    (instant.total_micros().max(0) as u64).saturating_mul(MICROSECOND)
}

/// Decodes an address of a device's properties.
fn told(bytes: &[u8; 16], v4: bool) -> Option<IpAddr> {
    let address: IpAddr = match bytes.first_chunk::<4>() {
        Some(first) if v4 => (*first).into(),
        _ => (*bytes).into(),
    };
    (!address.is_unspecified()).then_some(address)
}

/// Returns true for a unicast address.
fn is_unicast(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Returns true for an IPv6 link-local address.
fn is_on_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

impl Stack {
    /// Returns the stack on a wire with the properties `network`. `seed` is random, and serves no other purpose.
    pub fn new(wire: &mut dyn Wire, network: &Network, seed: u64, now: u64) -> Self {
        let (mac, limits) = (wire.address(), Limits::of(&*wire));
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = seed;
        config.slaac = network.v6.source == source::ASK;
        let mut exchange = Exchange::new(None, wire.sender(), limits);
        let interface = Interface::new(config, &mut exchange, instant(now));
        let mut stack = Self {
            interface,
            connections: HashMap::new(),
            alarms: BinaryHeap::new(),
            stalled: Waiting::default(),
            held: Held::default(),
            opening: VecDeque::new(),
            groups: Vec::new(),
            lease: None,
            unannounced: Vec::new(),
            nobody: SocketSet::new(Vec::new()),
            limits,
            mac: EthernetAddress(mac),
            servers: Vec::new(),
            servers_changed: false,
            asks_routers: network.v6.source == source::ASK,
            asks_until: now + QUESTIONS,
            routers: [None; 2],
            routed: [false, network.v6.source == source::ASK],
        };
        stack.configure(network, mac);
        stack.alarms.push(Reverse((now, INTERFACE)));
        stack
    }

    /// Returns the time of the next timer, as a monotonic time in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.alarms.peek().map(|Reverse((at, _))| *at)
    }

    /// Configures the addresses that the device was attached with.
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
                // Addresses beyond the interface's capacity are ignored.
                let _ = addresses.push(IpCidr::new(address.into(), prefix));
            });
            self.unannounced.push(address);
        }
    }

    fn set_router(&mut self, router: Option<IpAddr>) {
        let routes = self.interface.routes_mut();
        if let Some(router) = router {
            self.routed[usize::from(router.is_ipv6())] = true;
            self.routers[usize::from(router.is_ipv6())] = Some(router);
        }
        // smoltcp has room for one default route per family.
        match router {
            Some(IpAddr::V4(router)) => drop(routes.add_default_ipv4_route(router)),
            Some(IpAddr::V6(router)) => drop(routes.add_default_ipv6_route(router)),
            None => {}
        }
    }

    /// Applies a changed lease, or its loss.
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

    /// Returns true if the request for an IPv4 address is unanswered.
    pub fn is_asking(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_asking)
    }

    /// Returns true if the network has been asked for an address that can reach `to`, and has not answered. On IPv6 an answer
    /// may never come, if there is no router.
    pub fn awaits(&self, to: IpAddr) -> bool {
        match to {
            to if to.is_loopback() || is_on_link(to) => false,
            IpAddr::V4(_) => self.is_asking(),
            IpAddr::V6(_) => self.awaits_router(),
        }
    }

    /// Returns true if routers are asked for an IPv6 address, and none beyond the link is configured yet.
    fn awaits_router(&self) -> bool {
        let reaches = |cidr: &IpCidr| matches!(cidr, IpCidr::Ipv6(_)) && !is_on_link(cidr.address().into());
        self.asks_routers && !self.interface.ip_addrs().iter().any(reaches)
    }

    /// Returns the known name servers.
    pub fn name_servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// Returns the text of `/etc/resolv.conf`, if the name servers have changed.
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

    /// Returns the source address of packets to `to`; `None` if `to` is unreachable.
    pub fn source(&self, to: IpAddr) -> Option<IpAddr> {
        let found: Option<IpAddr> = self.interface.get_source_address(&to.into()).map(Into::into);
        let near = self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&to.into()));
        let reached = near || self.routed[usize::from(to.is_ipv6())] || !is_unicast(to);
        // A machine beyond the link could not answer a link-local address.
        let stays = |found: &IpAddr| is_on_link(*found) && !is_on_link(to) && is_unicast(to);
        let usable = |found: &IpAddr| {
            found.is_ipv4() == to.is_ipv4() && !found.is_unspecified() && !found.is_loopback() && !stays(found)
        };
        found.filter(|found| reached && usable(found))
    }

    /// Lets a set process a frame, and answer it. An answer to a frame for no set may wait for the sender's hardware address.
    pub fn take(&mut self, frame: &[u8], sender: &mut dyn Sender, set: Option<&mut SocketSet<'static>>, now: u64) {
        let mut exchange = Exchange::new(Some(frame), sender, self.limits);
        let is_for_nobody = set.is_none();
        self.process(&mut exchange, set, now);
        if is_for_nobody
            && exchange.sent.requests > 0
            && let Some(from) = frame::source(frame)
        {
            let neighbour = self.next_hop(from);
            self.held.keep(frame, neighbour, now);
        }
    }

    /// Lets a set process the frame of an exchange.
    pub(super) fn process(&mut self, exchange: &mut Exchange<'_>, set: Option<&mut SocketSet<'static>>, now: u64) {
        let is_for_nobody = set.is_none();
        self.interface.poll_ingress_single(instant(now), exchange, set.unwrap_or(&mut self.nobody));
        if is_for_nobody {
            // smoltcp applies a router advertisement only in this call.
            self.interface.poll_maintenance(instant(now));
        }
    }

    /// Joins a multicast group; joins are counted. Returns true if there was room for the group.
    pub fn join(&mut self, group: IpAddr, sender: &mut dyn Sender, now: u64) -> bool {
        if let Some((_, members)) = self.groups.iter_mut().find(|(joined, _)| *joined == group) {
            *members += 1;
            return true;
        }
        let joined = self.groups.try_reserve(1).is_ok() && self.interface.join_multicast_group(group).is_ok();
        if joined {
            self.groups.push((group, 1));
            self.poll_interface(sender, now);
        }
        joined
    }

    /// Leaves a joined group, once it has been left as often as joined.
    pub fn leave(&mut self, group: IpAddr, sender: &mut dyn Sender, now: u64) {
        let Some(place) = self.groups.iter().position(|(joined, _)| *joined == group) else { return };
        self.groups[place].1 -= 1;
        if self.groups[place].1 == 0 {
            self.groups.swap_remove(place);
            // Leaving cannot fail for a group that was joined.
            let _ = self.interface.leave_multicast_group(group);
            self.poll_interface(sender, now);
        }
    }

    /// Returns true if a datagram to this address is for the interface's DHCP client.
    pub fn is_for_interface(&self, to: SocketAddr) -> bool {
        to.port() == LEASE_PORT && self.lease.is_some()
    }

    /// Processes a frame with such a datagram.
    pub fn take_for_interface(&mut self, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        let mut lease = self.lease.take();
        self.take(frame, sender, lease.as_mut().map(|lease| &mut lease.set), now);
        self.lease = lease;
        self.poll_interface(sender, now);
    }

    /// Sends the pending output of a set.
    pub fn send(&mut self, sender: &mut dyn Sender, set: &mut SocketSet<'static>, now: u64) -> Sent {
        let (mut sent, instant) = (false, instant(now));
        let blocked = loop {
            let mut exchange = Exchange::new(None, &mut *sender, self.limits);
            match self.interface.poll_egress(instant, &mut exchange, set) {
                PollResult::SocketStateChanged => sent = true,
                // Without a change of a socket there may be reports of a group member, or router solicitations.
                PollResult::None => break exchange.attempts > exchange.sent.others,
            }
        };
        Sent { sent, blocked, at: self.interface.poll_at(instant, set).map(nanoseconds) }
    }

    /// Enters a socket among the `stalled`, unless `stalled` says that it is there. Without room in the device it waits for that,
    /// else for `neighbour`.
    pub(super) fn stall(&mut self, slot: u32, sender: &mut dyn Sender, neighbour: IpAddr, stalled: &mut bool) {
        if !*stalled {
            let want = if sender.has_room() { Want::Neighbour(neighbour) } else { Want::Room };
            *stalled = self.stalled.add(slot, want);
        }
    }

    /// Returns the neighbours at this time that are known or asked for.
    pub fn neighbours(&self, now: u64) -> impl Iterator<Item = Neighbour> {
        self.interface.neighbors(instant(now)).map(|(address, hardware, is_fresh)| {
            let mac = hardware.and_then(|hardware| hardware.as_bytes().try_into().ok());
            Neighbour { address: address.into(), mac, is_fresh }
        })
    }

    /// Returns the routers that were configured or leased, of IPv4 and of IPv6.
    pub const fn routers(&self) -> [Option<IpAddr>; 2] {
        self.routers
    }

    /// Returns the neighbour to which packets to `to` are sent; an unspecified address if it is not known here.
    pub fn next_hop(&self, to: IpAddr) -> IpAddr {
        let near = self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&to.into()));
        match self.routers[usize::from(to.is_ipv6())] {
            _ if near || !is_unicast(to) => to,
            Some(router) => router,
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Sets a socket's timer, so far at `before`, to `at` if that is earlier. Returns the timer's new time.
    pub fn schedule(&mut self, index: u32, before: u64, at: Option<u64>) -> u64 {
        match at {
            Some(at) if at < before => {
                self.alarms.push(Reverse((at, index)));
                at
            }
            _ => before,
        }
    }

    /// Returns an expired timer: its time and its socket, if there is one. The interface's own timer is handled here.
    pub fn due(&mut self, sender: &mut dyn Sender, now: u64) -> Option<(u64, u32)> {
        while let Some(Reverse((at, index))) = self.alarms.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.alarms.pop();
            if index != INTERFACE {
                return Some((at, index));
            }
            self.poll_interface(sender, now);
        }
        None
    }

    /// Does the work of the interface itself: ARP, IGMP, DHCP, SLAAC.
    fn poll_interface(&mut self, sender: &mut dyn Sender, now: u64) {
        self.interface.poll_maintenance(instant(now));
        let mut lease = self.lease.take();
        let mut nobody = SocketSet::new(Vec::new());
        let set = lease.as_mut().map_or(&mut nobody, |lease| &mut lease.set);
        let at = self.send(sender, set, now).at;
        self.lease = lease;
        // Output that is due at once has found no room; it may a little later.
        let at = at.map(|at| at.max(now + AGAIN));
        // smoltcp's next time covers neither replies to queries for group members nor, without a lease, repeated router
        // solicitations.
        let asks = now < self.asks_until && self.awaits_router();
        let report = (asks || !self.groups.is_empty()).then_some(now + REPORT);
        self.schedule(INTERFACE, u64::MAX, at.into_iter().chain(report).min());
        self.take_lease();
        let mac = self.mac;
        self.unannounced.drain(..).for_each(|address| announce(address, mac, sender));
    }
}
