//! The addresses of the user-mode network, which are the same for every guest: each has such a network for itself.
//!
//! ```text
//!              IPv4         IPv6
//! network      10.0.2.0/24  fd68:7573:6b00:2::/64
//! gateway      10.0.2.2     fd68:7573:6b00:2::2    answers ping; published ports seem to be reached from here
//! name server  10.0.2.3     fd68:7573:6b00:2::3    port 53 is the host's resolver, for queries of names alone
//! host         10.0.2.4     fd68:7573:6b00:2::4    the host's loopback, if --allow host says so
//! guest        10.0.2.15    fd68:7573:6b00:2::15
//! ```

use crate::devices::net::address::bytes;
use husk_abi::device::{Address, source};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Hardware address of everything that is not the guest.
pub const OUR_MAC: [u8; 6] = [0x02, 0x68, 0x75, 0x73, 0x6b, 0x02];
/// Hardware address of the guest, unless it is given another.
pub const GUEST_MAC: [u8; 6] = [0x02, 0x68, 0x75, 0x73, 0x6b, 0x15];

/// The port of name servers.
pub const DNS_PORT: u16 = 53;

/// One of the network's addresses, by its last byte.
pub const fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, last)
}

/// One of the network's addresses, by its last word.
pub const fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd68, 0x7573, 0x6b00, 2, 0, 0, 0, last)
}

/// Who has an address, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The gateway.
    Gateway,
    /// The name server.
    NameServer,
    /// The host's loopback.
    Host,
    /// The guest, or nobody, or no address of one machine.
    Nowhere,
    /// A machine outside.
    Outside,
}

/// Who has `address`.
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

/// Whether it is the name server's port.
pub fn is_dns(far: SocketAddr) -> bool {
    place(far.ip()) == Place::NameServer && far.port() == DNS_PORT
}

/// Whether a guest may have `address` as its own.
pub fn is_guest(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [10, 0, 2, 5..=254]),
        IpAddr::V6(own) => own.segments()[..4] == v6(0).segments()[..4] && place(address) == Place::Nowhere,
    }
}

/// The guest's address in the family of `other`.
pub fn guest(other: IpAddr) -> IpAddr {
    if other.is_ipv4() { v4(15).into() } else { v6(0x15).into() }
}

/// Who a client of a published port is for the guest: itself, if the guest can answer it, else the gateway.
pub fn client(peer: SocketAddr) -> SocketAddr {
    let address = peer.ip().to_canonical();
    let address = if place(address) == Place::Outside { address } else { v4(2).into() };
    SocketAddr::new(address, peer.port())
}

/// What the guest is told of both families.
pub fn told() -> [Address; 2] {
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
