//! Datagrams. A datagram that finds no room is lost, as anywhere on the way.

use super::address::{Family, concrete};
use super::{Net, Protocol, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::fs::socket::address::{Address, Arrival};
use crate::fs::socket::queue::{Envelope, Message};
use crate::fs::watch::wait;
use crate::syscall_result::SyscallResult;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Longest contents of a datagram in IPv4, in bytes.
const LENGTH_MAXIMUM_V4: u64 = 65_507;
/// Longest contents of a datagram in IPv6, in bytes.
const LENGTH_MAXIMUM_V6: u64 = 65_527;
/// Bytes charged to the receiver's room per datagram besides its contents, so that empty datagrams count, too.
const OVERHEAD: usize = 512;

impl Net {
    /// send(2) in all its forms.
    pub fn send(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        from: Buffers<'_>,
        to: Option<SocketAddr>,
        nonblocking: bool,
    ) -> SyscallResult {
        match self.sockets[key].protocol {
            Protocol::Tcp => self.send_stream(files, key, from, nonblocking),
            Protocol::Udp if self.family(key) == Family::Routes => self.ask_routes(files, key, from),
            Protocol::Udp => self.send_datagram(files, devices, key, from, to, nonblocking),
        }
    }

    /// recv(2) in all its forms.
    pub fn receive(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        match self.sockets[key].protocol {
            Protocol::Tcp => self.receive_stream(files, key, into, peek, nonblocking, envelope),
            Protocol::Udp => self.receive_datagram(files, key, into, peek, nonblocking, envelope),
        }
    }

    /// connect(2): sets `to` as destination and only source of datagrams; without `to`, removes this restriction.
    pub(super) fn connect_datagrams(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        to: Option<SocketAddr>,
    ) -> Result<(), Errno> {
        if self.family(key) == Family::Routes {
            return Ok(());
        }
        let remote = match to.map(concrete) {
            Some(to) => {
                self.check_receiver(key, to)?;
                let local = self.source(devices, key, to)?;
                self.sockets[key].local = Some(local);
                Some(to)
            }
            None => None,
        };
        let socket = &mut self.sockets[key];
        socket.remote = remote;
        (socket.read_shut, socket.write_shut) = (false, false);
        self.report_ready(files, key, Ready::OUT);
        Ok(())
    }

    /// EACCES for the broadcast address unless `SO_BROADCAST` is set.
    fn check_receiver(&self, key: SocketKey, to: SocketAddr) -> Result<(), Errno> {
        let broadcast = to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST);
        if broadcast && !self.sockets[key].options.may_broadcast() { Err(Errno::EACCES) } else { Ok(()) }
    }

    fn send_datagram(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        from: Buffers<'_>,
        to: Option<SocketAddr>,
        nonblocking: bool,
    ) -> SyscallResult {
        let socket = &mut self.sockets[key];
        let to = concrete(to.or(socket.remote).ok_or(Errno::EDESTADDRREQ)?);
        let length = from.length();
        if to.port() == 0 {
            return Err(Errno::EINVAL.into());
        }
        if length > if to.is_ipv4() { LENGTH_MAXIMUM_V4 } else { LENGTH_MAXIMUM_V6 } {
            return Err(Errno::EMSGSIZE.into());
        }
        if socket.write_shut {
            return Err(Errno::EPIPE.into());
        }
        if let Some(error) = socket.error.take() {
            self.report_ready(files, key, Ready::empty());
            return Err(error.into());
        }
        self.check_receiver(key, to)?;
        let source = self.source(devices, key, to)?;
        if to.ip().is_multicast() {
            return self.send_to_group(files, devices, key, from, (source, to), nonblocking);
        }
        if !self.is_local(to.ip()) {
            return self.send_out(files, devices, key, from, (source, to), nonblocking);
        }
        match self.receiver_at(to, source) {
            Some(receiver) => {
                let arrival = Arrival { to: to.ip(), class: self.sockets[key].options.class(to.is_ipv6()) };
                self.deliver(files, receiver, from, source, arrival)?;
            }
            None if self.sockets[key].remote == Some(to) => {
                self.sockets[key].error = Some(Errno::ECONNREFUSED);
                self.report_ready(files, key, Ready::ERROR);
            }
            None => {}
        }
        Ok(length)
    }

    /// Puts a datagram into a socket's queue, if there is room.
    pub(super) fn deliver(
        &mut self,
        files: &mut Files,
        receiver: SocketKey,
        bytes: Buffers<'_>,
        from: SocketAddr,
        arrival: Arrival,
    ) -> Result<(), Errno> {
        let socket = &mut self.sockets[receiver];
        let waiting = socket.received.length() + socket.received.count() * OVERHEAD;
        if socket.read_shut || waiting >= socket.options.receive_room as usize {
            return Ok(());
        }
        let mut message = Message::new(bytes, bytes.length() as usize)?;
        message.from = Some(Address::Internet(socket.family.shown(from)));
        message.arrival = Some(arrival);
        if socket.received.push(&mut files.quota, message).is_ok() {
            self.report_ready(files, receiver, Ready::IN);
        }
        Ok(())
    }

    fn receive_datagram(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        let answer = match socket.error.take() {
            Some(error) => Err(error.into()),
            None if !socket.received.is_empty() => {
                Ok(socket.received.read_message(&mut files.quota, into, peek, envelope)?)
            }
            None if nonblocking => return Err(Errno::EAGAIN.into()),
            None if socket.read_shut => return Ok(0),
            None => return Err(wait(node)),
        };
        self.report_ready(files, key, Ready::empty());
        answer
    }
}
