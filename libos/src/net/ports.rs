//! Ports: their sockets, the rules for sharing them, and the lookup of the socket behind an address.

use super::address::Family;
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::device::Devices;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use hashbrown::HashMap;
use husk::internet::driver::Device;

/// Ephemeral ports, as on Linux.
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// Sockets by the port that they are bound to.
#[derive(Debug, Default)]
pub(super) struct Ports(HashMap<(Protocol, u16), Vec<SocketKey>>);

impl Ports {
    pub(super) fn at(&self, protocol: Protocol, port: u16) -> &[SocketKey] {
        self.0.get(&(protocol, port)).map_or(&[], |sockets| sockets)
    }

    fn add(&mut self, protocol: Protocol, port: u16, key: SocketKey) -> Result<(), Errno> {
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let sockets = self.0.entry((protocol, port)).or_default();
        sockets.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        sockets.push(key);
        Ok(())
    }

    /// Removes a socket from the port that it is bound to.
    pub(super) fn remove(&mut self, protocol: Protocol, port: u16, key: SocketKey) {
        if let Some(sockets) = self.0.get_mut(&(protocol, port)) {
            sockets.retain(|socket| *socket != key);
            if sockets.is_empty() {
                self.0.remove(&(protocol, port));
            }
        }
    }
}

impl Socket {
    /// Rank of a socket bound to `local` as receiver of packets to `to`; the highest rank wins. `None` if it does not receive
    /// them.
    pub(super) fn answers(&self, to: IpAddr) -> Option<u8> {
        match (self.local?.ip(), to) {
            (local, to) if local == to => Some(3),
            (IpAddr::V4(local), IpAddr::V4(_)) if local.is_unspecified() => Some(2),
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => Some(2),
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) if !self.options.is_only_v6() => Some(1),
            _ => None,
        }
    }

    /// Returns true if an address exists that means both this socket and one to be bound to `other`.
    fn overlaps(&self, other: IpAddr, other_only_v6: bool) -> bool {
        match (self.local.map(|local| local.ip()), other) {
            (None, _) => false,
            (Some(IpAddr::V4(_)), IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => !other_only_v6,
            (Some(IpAddr::V4(local)), IpAddr::V4(other)) if other.is_unspecified() || local.is_unspecified() => true,
            (Some(IpAddr::V6(_)), IpAddr::V6(other)) if other.is_unspecified() => true,
            (Some(_), other) => self.answers(other).is_some(),
        }
    }
}

impl Net {
    /// Returns true if the address is the program's own.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        let is_ours = |device: &Device| device.stack.interface.has_ip_addr(address);
        address.is_loopback() || self.device.as_deref().is_some_and(is_ours)
    }

    /// getsockname(2).
    pub fn name(&self, key: SocketKey) -> SocketAddr {
        let socket = &self.sockets[key];
        socket.shown(socket.local)
    }

    /// getpeername(2).
    pub fn peer_name(&self, key: SocketKey) -> Result<SocketAddr, Errno> {
        let socket = &self.sockets[key];
        let connected = match &socket.state {
            State::Connected { .. } => true,
            State::Remote { connection, .. } => !connection.is_opening() && !connection.is_over(),
            _ => socket.protocol == Protocol::Udp,
        };
        let remote = socket.remote.filter(|_| connected).ok_or(Errno::ENOTCONN)?;
        Ok(socket.shown(Some(remote)))
    }

    /// bind(2).
    pub fn bind(&mut self, devices: &mut dyn Devices, key: SocketKey, to: SocketAddr) -> Result<(), Errno> {
        let socket = &self.sockets[key];
        if socket.family == Family::Routes {
            return Ok(());
        }
        if socket.local.is_some() || !matches!(socket.state, State::Closed) {
            return Err(Errno::EINVAL);
        }
        if to.is_ipv4() && socket.family.any().is_ipv6() && socket.options.is_only_v6() {
            return Err(Errno::EINVAL);
        }
        let ip = to.ip();
        if !ip.is_unspecified() && !self.is_local(ip) && !ip.is_multicast() && !socket.options.binds_freely() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if to.port() == 0 {
            return self.bind_anywhere(devices, key, to);
        }
        if self.is_taken(key, to) { Err(Errno::EADDRINUSE) } else { self.occupy(key, to) }
    }

    /// Binds a socket to an address and a free ephemeral port.
    pub(super) fn bind_anywhere(
        &mut self,
        devices: &mut dyn Devices,
        key: SocketKey,
        mut to: SocketAddr,
    ) -> Result<(), Errno> {
        let mut bytes = [0; 2];
        devices.random(&mut bytes);
        let count = EPHEMERAL.len();
        let start = usize::from(u16::from_ne_bytes(bytes));
        let free = (0..count)
            .map(|offset| EPHEMERAL.start() + ((start + offset) % count) as u16)
            .find(|port| self.ports.at(self.sockets[key].protocol, *port).is_empty());
        to.set_port(free.ok_or(Errno::EADDRINUSE)?);
        self.occupy(key, to)
    }

    fn occupy(&mut self, key: SocketKey, to: SocketAddr) -> Result<(), Errno> {
        self.ports.add(self.sockets[key].protocol, to.port(), key)?;
        self.sockets[key].local = Some(to);
        Ok(())
    }

    /// Returns true if another socket has an overlapping address and does not share it with the socket `key`.
    pub(super) fn is_taken(&self, key: SocketKey, to: SocketAddr) -> bool {
        let socket = &self.sockets[key];
        self.ports.at(socket.protocol, to.port()).iter().filter(|other| **other != key).any(|other| {
            let other = &self.sockets[*other];
            let listening = other.listener().is_some();
            let shared = socket.options.shares_port() && other.options.shares_port()
                || socket.options.shares_address() && other.options.shares_address() && !listening;
            !shared && other.overlaps(to.ip(), socket.options.is_only_v6())
        })
    }

    /// The listener that takes a connection from `from` to `to`.
    pub(super) fn listener_at(&self, to: SocketAddr, from: SocketAddr) -> Option<SocketKey> {
        let answers = |key: &SocketKey| {
            let socket = &self.sockets[*key];
            let listens = socket.listener().is_some() && self.is_through(socket, from.ip());
            let by_publication = || self.is_published_to(socket, to.ip(), from.ip()).then_some(0);
            listens.then(|| socket.answers(to.ip()).or_else(by_publication)).flatten()
        };
        let sockets = self.ports.at(Protocol::Tcp, to.port());
        let best = sockets.iter().filter_map(answers).max()?;
        // Listeners that share a port (`SO_REUSEPORT`) share the connections.
        let count = sockets.iter().filter(|key| answers(key) == Some(best)).count();
        sockets.iter().filter(|key| answers(key) == Some(best)).nth(usize::from(from.port()) % count).copied()
    }

    /// Returns true if a published port leads to this socket of the loopback interface: only the program that listens there can be
    /// meant.
    fn is_published_to(&self, socket: &Socket, to: IpAddr, from: IpAddr) -> bool {
        let local = socket.local.map(|local| local.ip()).filter(IpAddr::is_loopback);
        self.is_published && local.is_some_and(|local| local.is_ipv4() == to.is_ipv4()) && !self.is_local(from)
    }

    /// Returns true if a socket listens at this port of the loopback interface.
    pub(super) fn listens_on_loopback(&self, port: u16) -> bool {
        let is_local = |socket: &Socket| socket.local.is_some_and(|local| local.ip().is_loopback());
        let mut sockets = self.ports.at(Protocol::Tcp, port).iter().map(|key| &self.sockets[*key]);
        sockets.any(|socket| socket.listener().is_some() && is_local(socket))
    }

    /// The socket that receives a datagram from `from` to `to`.
    pub(super) fn receiver_at(&self, to: SocketAddr, from: SocketAddr) -> Option<SocketKey> {
        let sockets = self.ports.at(Protocol::Udp, to.port()).iter();
        let answering = sockets.filter_map(|key| {
            let socket = &self.sockets[*key];
            let connected = match socket.remote {
                Some(remote) if remote != from => return None,
                remote => remote.is_some(),
            };
            let answers = socket.answers(to.ip()).filter(|_| self.is_through(socket, from.ip()));
            answers.map(|answers| (connected, answers, *key))
        });
        answering.max_by_key(|(connected, answers, _)| (*connected, *answers)).map(|(.., key)| key)
    }
}
