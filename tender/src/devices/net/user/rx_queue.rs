//! Frames that wait for the guest to take them: bounded; each producer checks for room first.

use super::addresses::OUR_MAC;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, IpRepr, UdpPacket, UdpRepr,
};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Bytes from which on no more frames are made. Answers to the guest's packets may be added beyond that.
const ENOUGH: usize = 1 << 20;
/// Most bytes that wait: a frame beyond that is lost.
const MAXIMUM: usize = 4 * ENOUGH;
/// Bytes that a frame counts beside its own.
const OVERHEAD: usize = 64;

const HEADER: usize = 14;
const HOPS: u8 = 64;

/// Source and destination.
pub type Ends = (IpAddr, IpAddr);

/// Queue of the frames.
#[derive(Debug)]
pub struct RxQueue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Hardware address of the guest.
    pub guest_mac: [u8; 6],
}

impl RxQueue {
    /// Creates an empty rx_queue for a guest with this hardware address.
    pub fn new(guest_mac: [u8; 6]) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, guest_mac }
    }

    /// Returns true if more frames should be made.
    pub fn has_room(&self) -> bool {
        self.bytes < ENOUGH
    }

    /// Next frame.
    pub fn first(&self) -> Option<&[u8]> {
        self.frames.front().map(Vec::as_slice)
    }

    /// Drops the next frame.
    pub fn pop(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len() + OVERHEAD;
        }
    }

    /// Adds a frame with a payload of `length` bytes, written by `fill`.
    pub fn push<R>(&mut self, protocol: EthernetProtocol, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut frame = vec![0; HEADER + length];
        let header = EthernetRepr {
            src_addr: EthernetAddress(OUR_MAC),
            dst_addr: EthernetAddress(self.guest_mac),
            ethertype: protocol,
        };
        header.emit(&mut EthernetFrame::new_unchecked(&mut frame));
        let result = fill(&mut frame[HEADER..]);
        if self.bytes < MAXIMUM {
            self.bytes += frame.len() + OVERHEAD;
            self.frames.push_back(frame);
        }
        result
    }

    /// Adds an IP packet that `fill` writes in full.
    pub fn push_packet<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let before = self.frames.len();
        let result = self.push(EthernetProtocol::Ipv4, length, fill);
        if self.frames.len() > before
            && let Some(frame) = self.frames.back_mut()
            && frame.get(HEADER).is_some_and(|first| first >> 4 == 6)
        {
            EthernetFrame::new_unchecked(frame).set_ethertype(EthernetProtocol::Ipv6);
        }
        result
    }

    /// Adds an IP packet.
    pub fn push_ip(&mut self, (from, to): Ends, protocol: IpProtocol, length: usize, fill: impl FnOnce(&mut [u8])) {
        let is_neighbour = to.is_ipv6() && protocol == IpProtocol::Icmpv6;
        // Neighbours accept only messages with a hop limit of 255, which no router has forwarded (RFC 4861, 7.1).
        let hops = if is_neighbour { u8::MAX } else { HOPS };
        let repr = IpRepr::new(IpAddress::from(from), IpAddress::from(to), protocol, length, hops);
        let header = repr.header_len();
        let ethernet = if from.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        self.push(ethernet, header + length, |packet| {
            repr.emit(&mut *packet, &ChecksumCapabilities::default());
            fill(&mut packet[header..]);
        });
    }

    /// Adds a datagram.
    pub fn push_datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let repr = UdpRepr { src_port: from.port(), dst_port: to.port() };
        let length = repr.header_len() + payload.len();
        self.push_ip((from.ip(), to.ip()), IpProtocol::Udp, length, |bytes| {
            repr.emit(
                &mut UdpPacket::new_unchecked(bytes),
                &from.ip().into(),
                &to.ip().into(),
                payload.len(),
                |to| to.copy_from_slice(payload),
                &ChecksumCapabilities::default(),
            );
        });
    }
}
