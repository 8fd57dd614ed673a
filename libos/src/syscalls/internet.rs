//! Common parts of calls on sockets of the internet families: lookup of the socket, and access to it.

use crate::answer::{On, Sleep, Stop, Then};
use crate::errno::Errno;
use crate::fs::foreign::{Foreign, Owner};
use crate::net::SocketKey;
use crate::state::Libos;
use alloc::boxed::Box;
use core::net::IpAddr;
use husk::abi::device::Network;
use husk::abi::note::device_kind;
use husk::device;
use husk::internet::wire::Wire;

/// Longest wait of a program for an address, in nanoseconds from its start; then calls fail for want of a network.
const LEASE_PATIENCE: u64 = 5_000_000_000;
/// Longest wait for a router to advertise an IPv6 prefix, which it does within half a second if there is one: RFC 4861.
const ROUTER_PATIENCE: u64 = 1_000_000_000;
/// Interval of the checks for an address, in nanoseconds.
const LEASE_INTERVAL: u64 = 2_000_000;

/// Socket behind a call's descriptor.
#[derive(Clone, Copy, Debug)]
pub enum Socket {
    /// Socket of `AF_UNIX`, which the files know by the descriptor.
    Unix,
    /// Socket of `AF_INET`, `AF_INET6` or `AF_NETLINK`.
    Internet(SocketKey),
}

/// The socket behind a descriptor; ENOTSOCK for another file.
pub fn socket(libos: &Libos, file: i32) -> Result<Socket, Errno> {
    match libos.files.foreign(file)? {
        Some(Foreign { owner: Owner::Socket, handle }) => libos.net.socket(handle).map(Socket::Internet),
        _ => libos.files.socket_node(file).map(|_| Socket::Unix),
    }
}

/// The socket of the internet families behind a descriptor, if it is one.
pub fn internet(libos: &Libos, file: i32) -> Option<SocketKey> {
    if let Ok(Socket::Internet(socket)) = socket(libos, file) { Some(socket) } else { None }
}

/// Takes the first network device into use, if there is one. Without memory for its buffers there is no network.
#[cold]
pub fn attach(libos: &mut Libos) {
    let network = device::all().find(|device| device.kind == device_kind::NETWORK);
    let name = network.and_then(|network| core::str::from_utf8(device::name(network)).ok());
    let link = name.and_then(|name| husk::net::Link::open_to_offload(name).ok());
    if let (Some(name), Some(link)) = (name, link) {
        let properties = *link.properties();
        network_attached(libos, name.as_bytes(), Box::new(link), &properties);
    }
}

fn network_attached(libos: &mut Libos, name: &'static [u8], wire: Box<dyn Wire>, properties: &Network) {
    libos.network(|net, _, devices| net.attach(name, wire, properties, devices));
    libos.poll_network();
}

/// Waits until the network has leased an address to the program, or until its time is over; the call is restarted at intervals.
/// With an address `to`, waits for one from which packets can go there.
pub fn until_addressed(libos: &mut Libos, to: Option<IpAddr>) -> Result<(), Stop> {
    let waits = |libos: &Libos| to.map_or(libos.net.is_asking(), |to| libos.net.awaits(to));
    if !waits(libos) {
        return Ok(());
    }
    libos.poll_network();
    let patience = if to.is_some_and(|to| to.is_ipv6()) { ROUTER_PATIENCE } else { LEASE_PATIENCE };
    let end = libos.started.saturating_add(patience);
    let now = husk::clock::monotonic_ns();
    if !waits(libos) || now >= end {
        return Ok(());
    }
    let deadline = Some(end.min(now.saturating_add(LEASE_INTERVAL)));
    Err(Stop::Sleep(Sleep { on: On::Time, deadline, woken: Then::Again, expired: Then::Again }))
}
