//! Errors that the network reports by ICMP (RFC 792, RFC 4443) about packets of this machine.

use super::Error;
use super::connection::{Connection, Observed};
use super::stack::Stack;
use core::net::{IpAddr, SocketAddr};
use smoltcp::socket::tcp;

/// Bytes of the headers of a segment to a peer.
pub const fn headers(peer: IpAddr) -> usize {
    if peer.is_ipv4() { 20 + 20 } else { 40 + 20 }
}

/// An ICMP error. Nothing in it is certain: anybody could have sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Source of the packet that the error is about.
    pub here: SocketAddr,
    /// Its destination.
    pub there: SocketAddr,
    /// Sequence number of the packet, if it was a segment of TCP; `None` for a datagram.
    pub segment: Option<u32>,
    /// Machine that reports the error.
    pub from: IpAddr,
    /// Type and code of the error.
    pub reason: Reason,
    /// Offset of the quoted packet's payload in the frame.
    pub payload: usize,
}

/// Type and code of an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// True for ICMP, false for ICMPv6.
    pub is_v4: bool,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Longest packet on the way to the destination, if the packet was too long for it; else 0.
    pub mtu: u32,
}

/// Types: destination unreachable, time exceeded, parameter problem.
pub const UNREACHABLE: u8 = 3;
/// Time exceeded.
pub const EXCEEDED: u8 = 11;
/// Parameter problem.
pub const PARAMETER: u8 = 12;
/// Types of ICMPv6: destination unreachable, packet too big, time exceeded, parameter problem.
pub const UNREACHABLE_V6: u8 = 1;
/// Packet too big.
pub const TOO_BIG_V6: u8 = 2;
/// Time exceeded.
pub const EXCEEDED_V6: u8 = 3;
/// Parameter problem.
pub const PARAMETER_V6: u8 = 4;
/// Codes of destination unreachable: the port, and the length of a packet that must not be split.
pub const PORT: u8 = 3;
/// Fragmentation needed.
pub const TOO_BIG: u8 = 4;
/// The port, of ICMPv6.
pub const PORT_V6: u8 = 4;

impl Reason {
    /// Decodes the head of an ICMP message; `None` if it is no error.
    pub(super) fn of(is_v4: bool, head: &[u8; 8]) -> Option<Self> {
        let [kind, code, _, _, high, low, next_high, next_low] = *head;
        let mtu = match (is_v4, kind, code) {
            (true, UNREACHABLE, TOO_BIG) => u16::from_be_bytes([next_high, next_low]).into(),
            (false, TOO_BIG_V6, _) => u32::from_be_bytes([high, low, next_high, next_low]),
            (true, UNREACHABLE | EXCEEDED | PARAMETER, _) => 0,
            (false, UNREACHABLE_V6 | EXCEEDED_V6 | PARAMETER_V6, _) => 0,
            _ => return None,
        };
        Some(Self { is_v4, kind, code, mtu })
    }

    /// The port of the destination is closed.
    pub const fn closed_port(is_v4: bool) -> Self {
        let (kind, code) = if is_v4 { (UNREACHABLE, PORT) } else { (UNREACHABLE_V6, PORT_V6) };
        Self { is_v4, kind, code, mtu: 0 }
    }

    /// Returns true if the packet was too long for the way to its destination.
    pub fn is_too_big(&self) -> bool {
        matches!((self.is_v4, self.kind, self.code), (true, UNREACHABLE, TOO_BIG) | (false, TOO_BIG_V6, _))
    }
}

impl Connection {
    /// Why the network could not deliver what was sent last, if it has said so.
    pub const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Takes an ICMP error. Returns the end of a connection that this program was opening; the error alone does not end another one,
    /// because any machine could send it.
    pub(super) fn report(&mut self, stack: &mut Stack, report: &Report) -> Option<Observed> {
        if !report.segment.is_some_and(|sequence| self.tcp_ref().is_in_flight(sequence)) {
            return None;
        }
        if report.reason.is_too_big() {
            self.tcp().limit_segments((report.reason.mtu as usize).saturating_sub(headers(report.there.ip())));
            return None;
        }
        self.reason = Some(report.reason);
        if self.seen != tcp::State::SynSent || self.orphaned {
            return None;
        }
        (self.seen, self.over) = (tcp::State::Closed, true);
        stack.connections.remove(&self.ends);
        let ended = Some(Err(Error::Unreachable));
        Some(Observed { readable: false, writable: true, opened: true, finished: false, ended })
    }
}
