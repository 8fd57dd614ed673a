//! Addresses of the internet families: in the form that programs write, and the addresses of the program itself.

use crate::errno::Errno;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use linux_raw_sys::net;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`
    V4,
    /// `AF_INET6`
    V6,
    /// `AF_NETLINK`; its addresses carry no information.
    Routes,
}

/// Bytes of a `struct sockaddr_in`.
const LENGTH_V4: usize = 16;
/// Bytes of a `struct sockaddr_in6`.
pub const LENGTH_MAXIMUM: usize = 28;
/// Bytes of a `struct sockaddr_nl`.
const LENGTH_ROUTES: usize = 12;
/// Bytes of a `struct sockaddr_in6` before it had a scope, which Linux accepts, too.
const LENGTH_V6_LEAST: usize = 24;

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The family with this number, if it is one of the internet.
    pub fn from_raw(number: u32) -> Option<Self> {
        match number {
            net::AF_INET => Some(Self::V4),
            net::AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }

    /// Number of the family (`AF_…`).
    pub fn number(self) -> u32 {
        match self {
            Self::V4 => net::AF_INET,
            Self::V6 => net::AF_INET6,
            Self::Routes => net::AF_NETLINK,
        }
    }

    /// Wildcard address of the family, for all addresses of a machine.
    pub fn any(self) -> IpAddr {
        match self {
            Self::V4 | Self::Routes => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Returns an address in the form that sockets of the family show: `AF_INET6` shows IPv4 addresses as mapped ones.
    pub fn shown(self, address: SocketAddr) -> SocketAddr {
        match (self, address) {
            (Self::V6, SocketAddr::V4(v4)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            _ => address,
        }
    }

    /// Parses the bytes of a `struct sockaddr` passed to a socket of this family, into canonical form.
    pub fn parse(self, bytes: &[u8]) -> Result<SocketAddr, Errno> {
        if self == Self::Routes {
            return parse_routes(bytes);
        }
        let least = if self == Self::V4 { LENGTH_V4 } else { LENGTH_V6_LEAST };
        let family = bytes.first_chunk().ok_or(Errno::EINVAL)?;
        match (self, Self::from_raw(u16::from_ne_bytes(*family).into())) {
            _ if bytes.len() < least => Err(Errno::EINVAL),
            (_, Some(Self::V4)) if self == Self::V4 => parse_v4(bytes),
            (Self::V6, Some(Self::V6)) => parse_v6(bytes),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }
}

/// Parses a `struct sockaddr_nl`. Multicast groups make no difference: there are no notifications of changes.
fn parse_routes(bytes: &[u8]) -> Result<SocketAddr, Errno> {
    let address: [u8; LENGTH_ROUTES] = bytes.first_chunk().copied().ok_or(Errno::EINVAL)?;
    match address {
        [low, high, ..] if u32::from(u16::from_ne_bytes([low, high])) != net::AF_NETLINK => Err(Errno::EINVAL),
        _ => Ok(SocketAddr::new(Family::Routes.any(), 0)),
    }
}

fn parse_v4(bytes: &[u8]) -> Result<SocketAddr, Errno> {
    let [_, _, high, low, a, b, c, d, ..] = *bytes else { return Err(Errno::EINVAL) };
    Ok(SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low])))
}

fn parse_v6(bytes: &[u8]) -> Result<SocketAddr, Errno> {
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let (address, rest) = rest.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let [_, _, high, low, flow @ ..] = *head;
    let (port, address) = (u16::from_be_bytes([high, low]), Ipv6Addr::from(*address));
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Ok(SocketAddr::new(mapped.into(), port));
    }
    let scope = rest.first_chunk().map_or(0, |scope| u32::from_ne_bytes(*scope));
    Ok(SocketAddrV6::new(address, port, u32::from_be_bytes(flow), scope).into())
}

/// Returns an address as a `struct sockaddr`, and its length in bytes.
pub fn format(address: &SocketAddr) -> ([u8; LENGTH_MAXIMUM], usize) {
    let mut bytes = [0; LENGTH_MAXIMUM];
    let mut put = |at: usize, part: &[u8]| {
        bytes.iter_mut().skip(at).zip(part).for_each(|(slot, byte)| *slot = *byte);
    };
    put(2, &address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            put(0, &(net::AF_INET as u16).to_ne_bytes());
            put(4, &v4.ip().octets());
            (bytes, LENGTH_V4)
        }
        SocketAddr::V6(v6) => {
            put(0, &(net::AF_INET6 as u16).to_ne_bytes());
            put(4, &v6.flowinfo().to_be_bytes());
            put(8, &v6.ip().octets());
            put(24, &v6.scope_id().to_ne_bytes());
            (bytes, LENGTH_MAXIMUM)
        }
    }
}

/// Returns the `struct sockaddr_nl` with this number.
pub fn format_routes(number: u32) -> [u8; LENGTH_ROUTES] {
    let mut bytes = [0; LENGTH_ROUTES];
    bytes[..2].copy_from_slice(&(net::AF_NETLINK as u16).to_ne_bytes());
    bytes[4..8].copy_from_slice(&number.to_ne_bytes());
    bytes
}

/// Replaces the wildcard address by the loopback address: a destination without a particular address is the program itself.
pub fn concrete(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(loopback(address.ip()), address.port()) } else { address }
}

/// Source address of packets to `address`, which is the program's own.
pub fn loopback(address: IpAddr) -> IpAddr {
    match address {
        address if !address.is_loopback() && !address.is_unspecified() => address,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(address: &str) -> Vec<u8> {
        let (bytes, length) = format(&address.parse().expect("an address"));
        bytes[..length].to_vec()
    }

    #[test]
    fn addresses_survive_the_trip() {
        for (family, text) in
            [(Family::V4, "10.1.2.3:80"), (Family::V6, "[2001:db8::7%3]:65535"), (Family::V6, "[::]:0")]
        {
            assert_eq!(family.parse(&bytes(text)), Ok(text.parse().expect("an address")));
        }
        assert_eq!((bytes("1.2.3.4:258")[2..8].to_vec(), bytes("[::1]:1").len()), (vec![1, 2, 1, 2, 3, 4], 28));
    }

    #[test]
    fn what_is_mapped_is_kept_as_what_it_is() {
        let canonical: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        assert_eq!(Family::V6.parse(&bytes("[::ffff:127.0.0.1]:9")), Ok(canonical));
        assert_eq!(Family::V6.shown(canonical).to_string(), "[::ffff:127.0.0.1]:9");
        assert_eq!(Family::V4.shown(canonical), canonical);
    }

    #[test]
    fn addresses_of_other_families_and_lengths_are_refused() {
        assert_eq!(Family::V4.parse(&bytes("[::1]:1")), Err(Errno::EAFNOSUPPORT));
        assert_eq!(Family::V6.parse(&bytes("1.2.3.4:1")), Err(Errno::EINVAL));
        assert_eq!(Family::V4.parse(&bytes("1.2.3.4:1")[..15]), Err(Errno::EINVAL));
        assert_eq!(Family::V4.parse(&[]), Err(Errno::EINVAL));
    }
}
