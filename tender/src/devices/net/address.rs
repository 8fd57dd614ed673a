//! IP addresses as users write them and as guests read them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an address in the format that guests read.
pub fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// Parses `ADDRESS/PREFIX`.
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    let prefix = prefix.parse().ok().filter(|prefix| u32::from(*prefix) <= longest)?;
    Some((address, prefix))
}
