//! Addresses of the user-mode network, equal for every guest, because each has such a network for itself.
//!
//! ```text
//!              IPv4         IPv6
//! network      10.0.2.0/24  fd68:7573:6b00:2::/64
//! gateway      10.0.2.2     fd68:7573:6b00:2::2    answers ping; published ports seem to be reached from here
//! name server  10.0.2.3     fd68:7573:6b00:2::3    port 53 is the host's resolver, for DNS queries alone
//! host         10.0.2.4     fd68:7573:6b00:2::4    the host's loopback, if --allow host says so
//! guest        10.0.2.15    fd68:7573:6b00:2::15
//! ```

use crate::devices::net::address::bytes;
use husk_abi::device::{Address, source};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Hardware address of all machines but the guest.
pub const OUR_MAC: [u8; 6] = [0x02, 0x68, 0x75, 0x73, 0x6b, 0x02];
/// Default hardware address of the guest.
pub const GUEST_MAC: [u8; 6] = [0x02, 0x68, 0x75, 0x73, 0x6b, 0x15];

/// Port of name servers.
pub const DNS_PORT: u16 = 53;

/// Returns an IPv4 address of the network, by its last byte.
pub const fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, last)
}

/// Returns an IPv6 address of the network, by its last word.
pub const fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd68, 0x7573, 0x6b00, 2, 0, 0, 0, last)
}

/// Owner of an address, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The gateway.
    Gateway,
    /// The name server.
    NameServer,
    /// The host's loopback.
    Host,
    /// The guest itself, no machine, or not a unicast address.
    Nowhere,
    /// A machine outside.
    Outside,
}

/// Returns the owner of `address`.
pub fn place(address: IpAddr) -> Place {
    let inside = |last: u16| match last {
        2 => Place::Gateway,
        3 => Place::NameServer,
        4 => Place::Host,
        _ => Place::Nowhere,
    };
    match address {
        IpAddr::V4(address) => match address.octets() {
            [10, 0, 2, last] => inside(last.into()),
            [0 | 127 | 224..=255, ..] => Place::Nowhere,
            _ => Place::Outside,
        },
        IpAddr::V6(address) => match address.segments() {
            [0xfd68, 0x7573, 0x6b00, 2, 0, 0, 0, last] => inside(last),
            [0xfd68, 0x7573, 0x6b00, 2, ..] | [0, 0, 0, 0, 0, ..] | [0xff00..=0xffff, ..] => Place::Nowhere,
            _ => Place::Outside,
        },
    }
}

/// Returns true if `far` is the name server's port.
pub fn is_dns(far: SocketAddr) -> bool {
    place(far.ip()) == Place::NameServer && far.port() == DNS_PORT
}

/// Returns true if a guest may use `address` as its own.
pub fn is_guest(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [10, 0, 2, 5..=254]),
        IpAddr::V6(own) => own.segments()[..4] == v6(0).segments()[..4] && place(address) == Place::Nowhere,
    }
}

/// Address of the guest in the family of `other`.
pub fn guest(other: IpAddr) -> IpAddr {
    if other.is_ipv4() { v4(15).into() } else { v6(0x15).into() }
}

/// Address of a client of a published port, as the guest sees it: its own, if the guest can answer it, else the gateway's.
pub fn client(peer: SocketAddr) -> SocketAddr {
    let address = peer.ip().to_canonical();
    let address = if place(address) == Place::Outside { address } else { v4(2).into() };
    SocketAddr::new(address, peer.port())
}

/// Addresses of both families that the guest reads.
pub fn announced() -> [Address; 2] {
    let told = |guest: IpAddr, gateway: IpAddr, name_server: IpAddr, prefix| Address {
        address: bytes(guest),
        gateway: bytes(gateway),
        name_server: bytes(name_server),
        prefix,
        source: source::GIVEN,
        reserved: [0; 6],
    };
    [told(v4(15).into(), v4(2).into(), v4(3).into(), 24), told(v6(0x15).into(), v6(2).into(), v6(3).into(), 64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_place() {
        for (address, expected) in [
            ("10.0.2.2", Place::Gateway),
            ("10.0.2.3", Place::NameServer),
            ("fd68:7573:6b00:2::4", Place::Host),
            ("10.0.2.15", Place::Nowhere),
            ("127.0.0.1", Place::Nowhere),
            ("224.0.0.1", Place::Nowhere),
            ("255.255.255.255", Place::Nowhere),
            ("::1", Place::Nowhere),
            ("::ffff:127.0.0.1", Place::Nowhere),
            ("ff02::1", Place::Nowhere),
            ("1.1.1.1", Place::Outside),
            ("2606:4700::1111", Place::Outside),
        ] {
            assert_eq!(place(address.parse().expect("an address")), expected, "{address}");
        }
    }

    #[test]
    fn a_client_that_the_guest_cannot_answer_seems_to_be_the_gateway() {
        let seen = |peer: &str| client(peer.parse().expect("an address")).to_string();
        assert_eq!(seen("127.0.0.1:5"), "10.0.2.2:5");
        assert_eq!(seen("[::1]:5"), "10.0.2.2:5");
        assert_eq!(seen("192.0.2.1:5"), "192.0.2.1:5");
        assert_eq!(seen("[::ffff:192.0.2.1]:5"), "192.0.2.1:5");
    }
}
