//! Datagrams. A datagram that finds no room is lost, as anywhere on the way.

use super::address::{Family, concrete};
use super::segments::{self, Dispatch};
use super::{Net, Protocol, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::fs::socket::address::{Address, Arrival, Posting};
use crate::fs::socket::queue::{Envelope, Message};
use crate::fs::watch::wait;
use crate::syscall_result::SyscallResult;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use husk::internet::report::Reason;

/// Longest contents of a datagram in IPv4, in bytes.
const LENGTH_MAXIMUM_V4: u64 = 65_507;
/// Longest contents of a datagram in IPv6, in bytes.
const LENGTH_MAXIMUM_V6: u64 = 65_527;
/// Hop limit of packets, unless the program sets it.
const HOPS: u8 = 64;
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
        posting: &Posting,
        nonblocking: bool,
    ) -> SyscallResult {
        match self.sockets[key].protocol {
            Protocol::Tcp => self.send_stream(files, key, from, nonblocking),
            Protocol::Udp if self.family(key) == Family::Routes => self.ask_routes(files, key, from),
            Protocol::Udp => self.send_datagram(files, devices, key, from, posting, nonblocking),
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
        posting: &Posting,
        nonblocking: bool,
    ) -> SyscallResult {
        let socket = &mut self.sockets[key];
        let to = concrete(posting.to.or(socket.remote).ok_or(Errno::EDESTADDRREQ)?);
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
        let source = SocketAddr::new(self.chosen_source(posting, to)?.unwrap_or(source.ip()), source.port());
        let options = &self.sockets[key].options;
        let segment = segments::check(posting.segment.unwrap_or(options.segment()), length, &to, self.mtu(to.ip()))?;
        let marks = options.marks(posting, to.ip());
        let dispatch = Dispatch { from: source, to, segment, marks, nonblocking };
        if to.ip().is_multicast() {
            return self.send_to_group(files, devices, key, from, dispatch);
        }
        if !self.is_local(to.ip()) {
            return self.send_out(files, devices, key, from, dispatch);
        }
        match self.receiver_at(to, source) {
            Some(receiver) => {
                let arrival = Arrival::new(to.ip(), marks.class, marks.hops.unwrap_or(HOPS));
                self.deliver_parts(files, receiver, from, segment, (source, arrival))?;
            }
            None => {
                let reason = Reason::closed_port(to.is_ipv4());
                let quoted = segments::parts(from, segment).next().map_or(from, |(part, _)| part);
                self.fail_datagram(files, key, to, (to.ip(), reason), quoted);
            }
        }
        Ok(length)
    }

    /// Source address that a send asks for (`IP_PKTINFO`, `IPV6_PKTINFO`), which has to be the program's own.
    fn chosen_source(&self, posting: &Posting, to: SocketAddr) -> Result<Option<IpAddr>, Errno> {
        match posting.from {
            Some(from) if from.is_ipv4() != to.is_ipv4() => Err(Errno::EINVAL),
            Some(from) if !self.is_local(from) => Err(if from.is_ipv4() { Errno::ENETUNREACH } else { Errno::EINVAL }),
            from => Ok(from),
        }
    }

    /// Puts a datagram of this length, the first of `bytes`, into a socket's queue, if there is room.
    pub(super) fn deliver(
        &mut self,
        files: &mut Files,
        receiver: SocketKey,
        (bytes, length): (Buffers<'_>, usize),
        from: SocketAddr,
        mut arrival: Arrival,
    ) -> Result<(), Errno> {
        let socket = &mut self.sockets[receiver];
        let waiting = socket.received.length() + socket.received.count() * OVERHEAD;
        if socket.read_shut || waiting >= socket.options.receive_room as usize {
            return Ok(());
        }
        if socket.options.time_stamps().is_some() {
            arrival.time_ns = husk::clock::realtime_ns();
        }
        let mut message = Message::new(bytes, length)?;
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
