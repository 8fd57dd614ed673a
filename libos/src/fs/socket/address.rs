//! Source and destination addresses of messages, for sockets of every family.

use super::name::{self, FAMILY, NAME_MAXIMUM, Name};
use crate::net::address;
use core::net::{IpAddr, SocketAddr};

/// Bytes of the longest `struct sockaddr` that is returned: of `AF_UNIX`, with a NUL at its end.
pub const LENGTH_MAXIMUM: usize = FAMILY + NAME_MAXIMUM + 1;

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of `AF_UNIX`.
    Unix(Name),
    /// Of `AF_INET` or `AF_INET6`.
    Internet(SocketAddr),
    /// Of `AF_NETLINK`: a number, which is 0 for the kernel's answers.
    Routes(u32),
}

/// Facts about a datagram of the internet families that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Destination address.
    pub to: IpAddr,
    /// Traffic class, which IPv4 calls type of service.
    pub class: u8,
    /// Hop limit, which IPv4 calls time to live.
    pub hops: u8,
    /// Bytes of each datagram but the last, if it is several that have been joined; else 0.
    pub segment: u16,
    /// Time in nanoseconds since 1970, if the socket has asked for times; else 0.
    pub time_ns: u64,
}

impl Arrival {
    /// Facts about a single datagram to `to`.
    pub fn new(to: IpAddr, class: u8, hops: u8) -> Self {
        Self { to, class, hops, segment: 0, time_ns: 0 }
    }
}

/// Arguments of a send of a datagram of the internet families, besides its bytes; `None` for the socket's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posting {
    /// Destination.
    pub to: Option<SocketAddr>,
    /// Source address.
    pub from: Option<IpAddr>,
    /// Traffic class.
    pub class: Option<u8>,
    /// Hop limit.
    pub hops: Option<u8>,
    /// Bytes of each of the datagrams that the bytes are split into; 0 for a single one.
    pub segment: Option<u16>,
}

impl Posting {
    /// A datagram to `to`, or to the peer.
    pub fn to(to: Option<SocketAddr>) -> Self {
        Self { to, ..Self::default() }
    }
}

impl Address {
    /// Returns an address as a `struct sockaddr`, and its length in bytes. Only sockets of `AF_UNIX` can have none.
    pub fn format(address: Option<&Self>) -> ([u8; LENGTH_MAXIMUM], usize) {
        match address {
            Some(Self::Internet(internet)) => {
                let (bytes, length) = address::format(internet);
                padded(&bytes[..length])
            }
            Some(Self::Routes(number)) => padded(&address::format_routes(*number)),
            Some(Self::Unix(name)) => name::format(Some(name)),
            None => name::format(None),
        }
    }
}

fn padded(bytes: &[u8]) -> ([u8; LENGTH_MAXIMUM], usize) {
    let mut padded = [0; LENGTH_MAXIMUM];
    padded.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    (padded, bytes.len())
}
