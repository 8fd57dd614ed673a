//! Parser of the guest's frames: each is read once, and never trusted.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    UdpPacket,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The two ends of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// End of the guest.
    pub guest: SocketAddr,
    /// Far end, as the guest sees it.
    pub far: SocketAddr,
}

/// Protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Stream,
    /// UDP.
    Datagrams,
    /// ICMP, with the identifier in place of the guest's port.
    Echoes,
}

/// An ICMP echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Address of the guest.
    pub guest: IpAddr,
    /// Address that is to answer.
    pub far: IpAddr,
    /// Identifier of the series of requests.
    pub identifier: u16,
    /// Sequence number in the series.
    pub sequence: u16,
    /// Data to be repeated.
    pub data: &'a [u8],
}

/// A frame of the guest's, as far as the network uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// ARP request: asks for a neighbour's hardware address, and states the guest's own.
    WhoHas4 { from: Ipv4Addr, wanted: Ipv4Addr },
    /// Neighbour solicitation: the request for IPv6.
    WhoHas6 { from: Ipv6Addr, wanted: Ipv6Addr },
    /// Router solicitation.
    WhoRoutes { from: Ipv6Addr },
    /// A segment of a TCP connection.
    Tcp {
        /// Ends of the connection.
        pair: Pair,
        /// SYN without ACK.
        opens: bool,
        /// RST.
        resets: bool,
        /// The whole IP packet.
        packet: &'a [u8],
    },
    /// A UDP datagram.
    Udp {
        /// Ends of the flow.
        pair: Pair,
        /// Payload of the datagram.
        payload: &'a [u8],
    },
    /// An echo request.
    Echo(Echo<'a>),
}

impl<'a> Packet<'a> {
    /// Parses a frame; `None` if it is cut, malformed, or of no use here. Also returns the guest's hardware address.
    pub fn parse(frame: &'a [u8]) -> Option<(Self, [u8; 6])> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let payload = frame.payload();
        let packet = match frame.ethertype() {
            EthernetProtocol::Arp => arp(payload),
            EthernetProtocol::Ipv4 => v4(payload),
            EthernetProtocol::Ipv6 => v6(payload),
            _ => None,
        }?;
        let mac = frame.src_addr().0;
        (mac[0] & 1 == 0).then_some((packet, mac))
    }
}

fn arp(payload: &[u8]) -> Option<Packet<'_>> {
    match ArpRepr::parse(&ArpPacket::new_checked(payload).ok()?).ok()? {
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request, source_protocol_addr, target_protocol_addr, ..
        } => Some(Packet::WhoHas4 { from: source_protocol_addr, wanted: target_protocol_addr }),
        _ => None,
    }
}

fn v4(payload: &[u8]) -> Option<Packet<'_>> {
    let packet = Ipv4Packet::new_checked(payload).ok()?;
    if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
        return None;
    }
    let whole = payload.get(..usize::from(packet.total_len()))?;
    let inner = whole.get(usize::from(packet.header_len())..)?;
    let ends = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Icmp => echo(ends, inner, ECHO_REQUEST_V4),
        protocol => transport(protocol, ends, whole, inner),
    }
}

fn v6(payload: &[u8]) -> Option<Packet<'_>> {
    let packet = Ipv6Packet::new_checked(payload).ok()?;
    if packet.version() != 6 {
        return None;
    }
    let whole = payload.get(..packet.total_len())?;
    let inner = whole.get(packet.header_len()..)?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    if packet.next_header() != IpProtocol::Icmpv6 {
        return transport(packet.next_header(), (from.into(), to.into()), whole, inner);
    }
    match *inner.first()? {
        ROUTER_SOLICITATION => Some(Packet::WhoRoutes { from }),
        NEIGHBOUR_SOLICITATION => {
            let wanted: [u8; 16] = inner.get(8..24)?.try_into().ok()?;
            Some(Packet::WhoHas6 { from, wanted: wanted.into() })
        }
        _ => echo((from.into(), to.into()), inner, ECHO_REQUEST_V6),
    }
}

// Types of ICMP messages (RFC 792, RFC 4443, RFC 4861).
const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;

/// Parses an echo request, if the ICMP message is of that type.
fn echo((guest, far): (IpAddr, IpAddr), message: &[u8], wanted: u8) -> Option<Packet<'_>> {
    let (&[kind, _, _, _, i0, i1, s0, s1], data) = message.split_first_chunk::<8>()?;
    let (identifier, sequence) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([s0, s1]));
    (kind == wanted).then_some(Packet::Echo(Echo { guest, far, identifier, sequence, data }))
}

fn transport<'a>(
    protocol: IpProtocol,
    (from, to): (IpAddr, IpAddr),
    whole: &'a [u8],
    inner: &'a [u8],
) -> Option<Packet<'a>> {
    let pair = |from_port, to_port| Pair { guest: SocketAddr::new(from, from_port), far: SocketAddr::new(to, to_port) };
    let has_ports = |pair: &Pair| pair.guest.port() != 0 && pair.far.port() != 0;
    match protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(inner).ok()?;
            let pair = Some(pair(tcp.src_port(), tcp.dst_port())).filter(has_ports)?;
            Some(Packet::Tcp { pair, opens: tcp.syn() && !tcp.ack(), resets: tcp.rst(), packet: whole })
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(inner).ok()?;
            let pair = Some(pair(udp.src_port(), udp.dst_port())).filter(has_ports)?;
            let end = usize::from(udp.len());
            Some(Packet::Udp { pair, payload: inner.get(8..end)? })
        }
        _ => None,
    }
}
