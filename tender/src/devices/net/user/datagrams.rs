//! Flows of datagrams and of ICMP echo requests: sockets of the host that last as long as they are used.

use super::addresses::DNS_PORT;
use super::dns::Query;
use super::dns::servers::{Queries, Step, Verdict};
use super::packet::{Echo, Pair};
use super::rx_queue::RxQueue;
use crate::host::time::monotonic_ns;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv4Repr, Ipv6Repr, UdpPacket,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

/// Idle time after which a flow ends, in nanoseconds.
const IDLE_NS: u64 = 120_000_000_000;
/// Idle time after which a flow of DNS queries or echo requests ends, in nanoseconds.
const QUESTION_NS: u64 = 10_000_000_000;
/// Datagrams taken from a socket before other flows get their turn.
const BATCH: usize = 32;
/// Longest datagram.
const LENGTH: usize = 1 << 16;

/// A flow from the guest to one peer.
#[derive(Debug)]
pub struct Flow {
    /// Ends of the flow, as the guest sees them.
    pub pair: Pair,
    socket: Socket,
    kind: Kind,
    used_ns: u64,
    answered: bool,
    /// True if the socket is a new one.
    moved: bool,
}

#[derive(Debug)]
enum Kind {
    Datagrams,
    /// DNS queries, which wait for their answers.
    Queries(Queries),
    Echoes {
        identifier: u16,
    },
}

impl Flow {
    /// Opens a flow of datagrams to `target`.
    pub fn datagrams(pair: Pair, target: SocketAddr) -> io::Result<Self> {
        Self::new(pair, Kind::Datagrams, target, Protocol::UDP)
    }

    /// Opens a flow of queries to the name server `target`, or to the next one that the host has a route to.
    pub fn queries(pair: Pair, mut queries: Queries, mut target: SocketAddr) -> io::Result<Self> {
        let socket = loop {
            match connected(target, Protocol::UDP) {
                Err(_) if queries.has_more() => target = queries.next(monotonic_ns()).unwrap_or(target),
                connected => break connected?,
            }
        };
        Ok(Self::on(pair, Kind::Queries(queries), socket))
    }

    /// Opens a flow of echo requests to `target`; fails if the host allows ping sockets neither to users nor to the tender.
    pub fn echoes(pair: Pair, identifier: u16, target: IpAddr) -> io::Result<Self> {
        let protocol = if target.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        Self::new(pair, Kind::Echoes { identifier }, SocketAddr::new(target, 0), protocol)
    }

    fn new(pair: Pair, kind: Kind, target: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        connected(target, protocol).map(|socket| Self::on(pair, kind, socket))
    }

    fn on(pair: Pair, kind: Kind, socket: Socket) -> Self {
        Self { pair, socket, kind, used_ns: monotonic_ns(), answered: false, moved: false }
    }

    /// Monotonic time of the last use, in nanoseconds.
    pub fn used_ns(&self) -> u64 {
        self.used_ns
    }

    /// Socket of the host.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends a query of the guest's. One that the guest repeats goes to the next server in time.
    pub fn query(&mut self, query: Query, message: &[u8], rx_queue: &mut RxQueue) {
        let Kind::Queries(queries) = &mut self.kind else { return };
        match queries.expect(query, message, monotonic_ns()) {
            Step::Next if self.ask_next() => self.used_ns = monotonic_ns(),
            Step::Return(target) => match connected(target, Protocol::UDP) {
                Ok(socket) => {
                    (self.socket, self.moved) = (socket, true);
                    self.send(message, rx_queue);
                }
                Err(_) => {
                    self.used_ns = monotonic_ns();
                    self.ask_next();
                }
            },
            Step::Send | Step::Next => self.send(message, rx_queue),
        }
    }

    /// Asks the next name server that the host has a route to all that waits for an answer. Returns false if there is none.
    fn ask_next(&mut self) -> bool {
        let Kind::Queries(queries) = &mut self.kind else { return false };
        let asked = queries.asked();
        let socket = loop {
            match queries.next(monotonic_ns()).map(|target| connected(target, Protocol::UDP)) {
                Some(Ok(socket)) => break socket,
                _ if queries.has_more() => {}
                _ => {
                    queries.stay(asked);
                    return false;
                }
            }
        };
        for message in queries.messages() {
            // Lost if the host does not take it, as datagrams may be.
            let _ = socket.send(message);
        }
        (self.socket, self.moved) = (socket, true);
        true
    }

    /// Returns true if the flow has another socket since the last call.
    pub fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns true if there is another name server to be asked.
    fn has_more_servers(&self) -> bool {
        matches!(&self.kind, Kind::Queries(queries) if queries.has_more())
    }

    /// Sends a datagram of the guest's; lost if the host does not take it.
    pub fn send(&mut self, payload: &[u8], rx_queue: &mut RxQueue) {
        self.used_ns = monotonic_ns();
        if let Err(error) = self.socket.send(payload)
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            if self.has_more_servers() && self.ask_next() {
                return;
            }
            // ECONNREFUSED refers to an earlier datagram, and this one was not sent.
            self.refuse(rx_queue);
            let _ = self.socket.send(payload);
        }
    }

    /// Reports an unreachable port to the guest (ICMP).
    fn refuse(&self, rx_queue: &mut RxQueue) {
        if !matches!(self.kind, Kind::Echoes { .. }) {
            refuse(self.pair, rx_queue);
        }
    }

    /// Sends an echo request of the guest's.
    pub fn ask(&mut self, echo: &Echo<'_>, rx_queue: &mut RxQueue) {
        let mut bytes = Vec::new();
        if self.pair.far.is_ipv4() {
            let repr = Icmpv4Repr::EchoRequest { ident: echo.identifier, seq_no: echo.sequence, data: echo.data };
            bytes.resize(repr.buffer_len(), 0);
            repr.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
        } else {
            let repr = Icmpv6Repr::EchoRequest { ident: echo.identifier, seq_no: echo.sequence, data: echo.data };
            bytes.resize(repr.buffer_len(), 0);
            let none = std::net::Ipv6Addr::UNSPECIFIED;
            // The host fills in the checksum, because only the host knows the source address.
            let checksums = ChecksumCapabilities::ignored();
            repr.emit(&none, &none, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &checksums);
        }
        self.send(&bytes, rx_queue);
    }

    /// Passes datagrams of the peer on to the guest. Returns true if there may be more.
    pub fn serve(&mut self, rx_queue: &mut RxQueue) -> bool {
        let mut bytes = vec![0; LENGTH];
        if let Kind::Queries(queries) = &self.kind
            && queries.turn_ends_ns() <= monotonic_ns()
        {
            self.ask_next();
        }
        for _ in 0..BATCH {
            if !rx_queue.has_room() {
                return true;
            }
            match (&self.socket).read(&mut bytes) {
                Ok(length) => self.give(&bytes[..length], rx_queue),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // ECONNREFUSED is reported once by the host, and does not end the flow.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    if !(self.has_more_servers() && self.ask_next()) {
                        self.refuse(rx_queue);
                    }
                }
                Err(_) => {}
            }
        }
        true
    }

    fn give(&mut self, bytes: &[u8], rx_queue: &mut RxQueue) {
        let Pair { guest, far } = self.pair;
        if let Kind::Queries(queries) = &mut self.kind {
            let mut verdict = queries.take(bytes, monotonic_ns());
            if verdict == Verdict::Next {
                if self.ask_next() {
                    return;
                }
                verdict = self.take_last(bytes);
            }
            if verdict != Verdict::Pass {
                return;
            }
        }
        (self.used_ns, self.answered) = (monotonic_ns(), true);
        match self.kind {
            Kind::Datagrams | Kind::Queries(_) => rx_queue.push_datagram(far, guest, bytes),
            Kind::Echoes { identifier } => {
                let Some((sequence, data)) = answer(bytes, far.is_ipv4()) else { return };
                give_echo(&Echo { guest: guest.ip(), far: far.ip(), identifier, sequence, data }, rx_queue);
            }
        }
    }

    /// Decides about an answer after which no other server can be asked.
    fn take_last(&mut self, bytes: &[u8]) -> Verdict {
        match &mut self.kind {
            Kind::Queries(queries) => queries.take(bytes, monotonic_ns()),
            _ => Verdict::Drop,
        }
    }

    /// Index of the name server that has answered, once for each answer, unless another was left for what it answered.
    pub fn answered_by(&mut self) -> Option<usize> {
        match &self.kind {
            Kind::Queries(queries) if std::mem::take(&mut self.answered) && !queries.is_detour() => {
                Some(queries.asked())
            }
            _ => None,
        }
    }

    /// Monotonic time at which the flow ends unless it is used, in nanoseconds.
    pub fn deadline_ns(&self) -> u64 {
        let is_question = !matches!(self.kind, Kind::Datagrams) || self.pair.far.port() == DNS_PORT;
        self.used_ns + if is_question { QUESTION_NS } else { IDLE_NS }
    }

    /// Monotonic time at which the flow has something to do, in nanoseconds.
    pub fn alarm_ns(&self) -> u64 {
        match &self.kind {
            Kind::Queries(queries) => queries.turn_ends_ns().min(self.deadline_ns()),
            _ => self.deadline_ns(),
        }
    }
}

/// Returns a socket that is connected to `target`, and does not block.
fn connected(target: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.connect(&target.into())?;
    Ok(socket)
}

/// Sequence number and data of an echo reply that the host's socket received.
fn answer(bytes: &[u8], is_v4: bool) -> Option<(u16, &[u8])> {
    const REPLY_V4: u8 = 0;
    const REPLY_V6: u8 = 129;
    let (header, data) = bytes.split_at_checked(8)?;
    let is_reply = header[0] == if is_v4 { REPLY_V4 } else { REPLY_V6 };
    is_reply.then(|| (u16::from_be_bytes([header[6], header[7]]), data))
}

/// Bytes of a UDP header.
const HEADER: usize = 8;

/// Answers a datagram of the guest's with "port unreachable", which quotes its header (RFC 792, RFC 4443).
pub fn refuse(Pair { guest, far }: Pair, rx_queue: &mut RxQueue) {
    let mut data = [0; HEADER];
    let mut header = UdpPacket::new_unchecked(&mut data[..]);
    header.set_src_port(guest.port());
    header.set_dst_port(far.port());
    header.set_len(HEADER as u16);
    let hop_limit = 64;
    match (far.ip(), guest.ip()) {
        (IpAddr::V4(dst_addr), IpAddr::V4(src_addr)) => {
            let next_header = IpProtocol::Udp;
            let about = Ipv4Repr { src_addr, dst_addr, next_header, payload_len: HEADER, hop_limit };
            let reason = Icmpv4DstUnreachable::PortUnreachable;
            let repr = Icmpv4Repr::DstUnreachable { reason, header: about, data: &data };
            rx_queue.push_ip((far.ip(), guest.ip()), IpProtocol::Icmp, repr.buffer_len(), |bytes| {
                repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
            });
        }
        (IpAddr::V6(dst_addr), IpAddr::V6(src_addr)) => {
            let next_header = IpProtocol::Udp;
            let about = Ipv6Repr { src_addr, dst_addr, next_header, payload_len: HEADER, hop_limit };
            let reason = Icmpv6DstUnreachable::PortUnreachable;
            let repr = Icmpv6Repr::DstUnreachable { reason, header: about, data: &data };
            rx_queue.push_ip((far.ip(), guest.ip()), IpProtocol::Icmpv6, repr.buffer_len(), |bytes| {
                let packet = &mut Icmpv6Packet::new_unchecked(bytes);
                repr.emit(&dst_addr, &src_addr, packet, &ChecksumCapabilities::default());
            });
        }
        _ => {}
    }
}

/// Answers an echo request.
pub fn give_echo(echo: &Echo<'_>, rx_queue: &mut RxQueue) {
    let (ident, seq_no, data) = (echo.identifier, echo.sequence, echo.data);
    match (echo.far, echo.guest) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let repr = Icmpv4Repr::EchoReply { ident, seq_no, data };
            rx_queue.push_ip((echo.far, echo.guest), IpProtocol::Icmp, repr.buffer_len(), |bytes| {
                repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
            });
        }
        (IpAddr::V6(far), IpAddr::V6(guest)) => {
            let repr = Icmpv6Repr::EchoReply { ident, seq_no, data };
            rx_queue.push_ip((echo.far, echo.guest), IpProtocol::Icmpv6, repr.buffer_len(), |bytes| {
                repr.emit(&far, &guest, &mut Icmpv6Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
            });
        }
        _ => {}
    }
}
