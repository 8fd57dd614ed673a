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
