//! The routing table, as rtnetlink(7) lists it: the program's own addresses, the networks that they are in, and the routers.

use super::address::Family;
use super::links::{Interface, broadcast};
use super::messages::{Octets, Question, append};
use crate::errno::Errno;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::netlink::NLM_F_MULTI;

// Kinds of messages, and attributes of routes: linux/rtnetlink.h.
const NEW_ROUTE: u16 = 24;
const DESTINATION: u16 = 1;
const INTERFACE: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const SOURCE: u16 = 7;
const TABLE: u16 = 15;
/// Tables: that of own addresses, and the main one.
const OWN: u8 = 255;
const MAIN: u8 = 254;
/// Origins of routes: the kernel, and the configuration.
const KERNEL: u8 = 2;
const BOOT: u8 = 3;
// Scopes of destinations: anywhere, the link, this machine.
const ANYWHERE: u8 = 0;
const ON_LINK: u8 = 253;
const HERE: u8 = 254;
// Types of routes: to other machines, to this one, to all of a network, and to groups.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;
/// Number of the loopback interface, by which this machine reaches its own addresses.
const LOOPBACK: u32 = 1;
/// Flag of the answer to a question about one destination.
const CLONED: u32 = 0x200;
/// Bytes of a `struct rtmsg`.
const HEAD: usize = 12;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    network: (IpAddr, u8),
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    interface: u32,
    table: u8,
    origin: u8,
    scope: u8,
    kind: u8,
    /// Metric, which Linux names for IPv6.
    priority: u32,
}

// Linux's metrics of IPv6: of an interface's networks, and of routers that were configured.
const NEAR: u32 = 256;
const BY_ROUTER: u32 = 1024;
/// Network of all groups.
const GROUPS: (Ipv6Addr, u8) = (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);

/// Returns the network of this prefix length that an address is in.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            Ipv4Addr::from(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from(v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into()
        }
    }
}

/// Bits of an address.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Returns the routes by these interfaces, and by the routers behind the device, the last interface: tables and destinations in
/// Linux's order.
pub(super) fn list(interfaces: &[Interface], routers: [Option<IpAddr>; 2]) -> Result<Vec<Route>, Errno> {
    let mut routes = Vec::new();
    for interface in interfaces {
        for (address, prefix) in &interface.addresses {
            push_routes(&mut routes, interface.number, *address, (*prefix).min(bits(*address)))?;
        }
    }
    let by_device = interfaces.last().map_or(0, |interface| interface.number);
    for router in routers.into_iter().flatten() {
        let route = Route {
            network: (Family::of(router).any(), 0),
            gateway: Some(router),
            source: None,
            interface: by_device,
            table: MAIN,
            origin: BOOT,
            scope: ANYWHERE,
            kind: UNICAST,
            priority: BY_ROUTER,
        };
        push(&mut routes, route)?;
    }
    // Of IPv6, that to everywhere is the last one.
    let is_last = |route: &Route| route.network.0.is_ipv6() && route.network.1 == 0;
    routes.sort_unstable_by_key(|route| (route.network.0.is_ipv6(), route.table, is_last(route), route.network));
    routes.dedup();
    Ok(routes)
}

fn push(routes: &mut Vec<Route>, route: Route) -> Result<(), Errno> {
    routes.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    routes.push(route);
    Ok(())
}

/// Pushes the routes that an address of an interface brings: to itself, its network and, of IPv4, the broadcast address of that.
fn push_routes(routes: &mut Vec<Route>, interface: u32, address: IpAddr, prefix: u8) -> Result<(), Errno> {
    let own = Route {
        network: (address, bits(address)),
        gateway: None,
        source: Some(address),
        interface,
        table: OWN,
        origin: KERNEL,
        scope: if address.is_ipv4() { HERE } else { ANYWHERE },
        kind: LOCAL,
        priority: 0,
    };
    push(routes, own)?;
    if prefix == bits(address) {
        return Ok(());
    }
    let on_link = if address.is_ipv4() { ON_LINK } else { ANYWHERE };
    let network = (network(address, prefix), prefix);
    let near = match address.is_loopback() {
        true => Route { network, ..own },
        false => Route { network, table: MAIN, scope: on_link, kind: UNICAST, priority: NEAR, ..own },
    };
    push(routes, near)?;
    if let (IpAddr::V6(_), false) = (address, address.is_loopback()) {
        let (first, prefix) = GROUPS;
        let network = (first.into(), prefix);
        push(routes, Route { network, source: None, kind: MULTICAST, priority: NEAR, ..own })?;
    }
    match (address, prefix) {
        (IpAddr::V4(v4), ..31) => {
            let network = (broadcast(v4, prefix).into(), 32);
            push(routes, Route { network, scope: on_link, kind: BROADCAST, ..own })
        }
        _ => Ok(()),
    }
}

impl Route {
    /// Network, prefix length, router and interface of a route of IPv4 in the main table.
    pub(super) fn of_main_v4(&self) -> Option<(Ipv4Addr, u8, Option<Ipv4Addr>, u32)> {
        let gateway = match self.gateway {
            Some(IpAddr::V4(v4)) => Some(v4),
            _ => None,
        };
        match self.network {
            (IpAddr::V4(network), prefix) if self.table == MAIN => Some((network, prefix, gateway, self.interface)),
            _ => None,
        }
    }

    fn contains(&self, to: IpAddr) -> bool {
        let (first, prefix) = self.network;
        to.is_ipv4() == first.is_ipv4() && network(to, prefix) == first
    }

    fn append(&self, question: &Question<'_>, flags: u32, route_flags: u32, into: &mut Vec<u8>) -> Result<(), Errno> {
        let (first, prefix) = self.network;
        let first_is_v6 = first.is_ipv6();
        let head = [Family::of(first).number() as u8, prefix, 0, 0, self.table, self.origin, self.scope, self.kind];
        let [table, interface] = [self.table.into(), self.interface].map(u32::to_ne_bytes);
        // Linux names the source for IPv4 only.
        let source = self.source.filter(|source| source.is_ipv4() || route_flags != 0);
        let [first, source, gateway] = [(prefix > 0).then_some(first), source, self.gateway].map(Octets::of_some);
        let priority: &[u8] = if first_is_v6 { &self.priority.to_ne_bytes() } else { &[] };
        let reported: [(u16, &[u8]); 6] = [
            (TABLE, &table),
            (DESTINATION, first.bytes()),
            (SOURCE, source.bytes()),
            (GATEWAY, gateway.bytes()),
            (PRIORITY, priority),
            (INTERFACE, &interface),
        ];
        append(into, question, NEW_ROUTE, flags, &[&head, &route_flags.to_ne_bytes()], &reported)
    }
}

/// Appends the routes of the request's family.
pub(super) fn append_all(routes: &[Route], question: &Question<'_>, into: &mut Vec<u8>) -> Result<(), Errno> {
    let mut wanted = routes.iter().filter(|route| question.is_about(route.network.0));
    wanted.try_for_each(|route| route.append(question, NLM_F_MULTI, 0, into))
}

/// Appends the route to the destination that a question names; ENETUNREACH without one.
pub(super) fn append_one(
    routes: &[Route],
    question: &Question<'_>,
    source: impl Fn(IpAddr) -> Option<IpAddr>,
    into: &mut Vec<u8>,
) -> Result<(), Errno> {
    if question.family() == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let to = question.address(HEAD, DESTINATION)?.ok_or(Errno::EINVAL)?;
    let best = match to {
        // That to groups of IPv4 is in no table: the first one by the device leads there.
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => {
            let kind = if v4.is_multicast() { MULTICAST } else { BROADCAST };
            let by_device = routes.iter().find(|route| route.network.0.is_ipv4() && route.interface != LOOPBACK);
            by_device.map(|route| Route { kind, gateway: None, scope: ANYWHERE, origin: 0, ..*route })
        }
        _ => {
            let containing = routes.iter().filter(|route| route.contains(to));
            containing.max_by_key(|route| (route.network.1, route.table)).copied()
        }
    };
    let best = best.ok_or(Errno::ENETUNREACH)?;
    let source = if best.kind == LOCAL { best.source } else { source(to).or(best.source) };
    let interface = if best.kind == LOCAL { LOOPBACK } else { best.interface };
    // Linux names neither scope nor, unless the request has RTM_F_LOOKUP_TABLE, table for IPv4.
    let table = if to.is_ipv4() { MAIN } else { best.table };
    let found = Route { network: (to, bits(to)), source, interface, table, scope: ANYWHERE, ..best };
    found.append(question, 0, CLONED, into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_are_what_the_prefix_leaves() {
        assert_eq!(network(ip("10.1.2.3"), 24), ip("10.1.2.0"));
        assert_eq!(network(ip("10.1.2.3"), 0), ip("0.0.0.0"));
        assert_eq!(network(ip("10.1.2.3"), 32), ip("10.1.2.3"));
        assert_eq!(network(ip("fd00:1::2"), 64), ip("fd00:1::"));
        assert_eq!(network(ip("fd00:1::2"), 0), ip("::"));
    }
}
