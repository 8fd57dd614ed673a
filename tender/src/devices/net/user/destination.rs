//! Addresses that rules treat specially, and the forms in which IPv6 carries an IPv4 address: all tables that decide where an
//! address really leads.
//!
//! A guest that may not reach an IPv4 address must not reach it through a translator or a tunnel either. So every form is
//! reduced to the addresses that it carries before the rules are checked:
//!
//! ```text
//! ::a.b.c.d              IPv4-compatible, RFC 4291     the last 32 bits
//! ::ffff:a.b.c.d         IPv4-mapped, RFC 4291         the last 32 bits
//! ::ffff:0:a.b.c.d       IPv4-translated, RFC 2765     the last 32 bits
//! 64:ff9b::/96           NAT64, RFC 6052               the last 32 bits
//! 64:ff9b:1::/48         local NAT64, RFC 8215         any of the places of RFC 6052
//! 2002::/16              6to4, RFC 3056                the 32 bits that follow
//! 2001::/32              Teredo, RFC 4380              the last 32 bits inverted, and those of the server
//! …:[02]00:5efe:a.b.c.d  ISATAP, RFC 5214              the last 32 bits
//! ```
//!
//! A network-specific NAT64 prefix cannot be known here: the user must add a rule for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Class of a destination, by which rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The name server of the network, at its port.
    Dns,
    /// The host itself: its loopback, by the network's address for it, or any address of its interfaces.
    Host,
    /// A metadata service of a cloud, which gives credentials to its machines.
    Metadata,
    /// A neighbour of the host, by its link-local address.
    LinkLocal,
    /// Any other address.
    Outside,
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(segments: [u16; 8]) -> IpAddr {
    let [a, b, c, d, e, f, g, h] = segments;
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

/// An address and its prefix length.
type Network = (IpAddr, u8);

/// Metadata services of clouds: they give credentials and configuration to any program of a machine.
const METADATA: &[Network] = &[
    // Amazon, Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner and most others.
    (v4(169, 254, 169, 254), 32),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe]), 128),
    // Amazon: the same for IPv6, and the credentials of containers (ECS, EKS).
    (v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0]), 64),
    (v4(169, 254, 170, 2), 32),
    (v4(169, 254, 170, 23), 32),
    // Google, for IPv6.
    (v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]), 128),
    // Azure: the agent of the host ("WireServer").
    (v4(168, 63, 129, 16), 32),
    // Alibaba.
    (v4(100, 100, 100, 200), 32),
    // Oracle, classic.
    (v4(192, 0, 0, 192), 32),
    // Tencent.
    (v4(169, 254, 0, 23), 32),
    // Scaleway.
    (v4(169, 254, 42, 42), 32),
    (v6([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042]), 128),
    // Akamai (Linode), for IPv6.
    (v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1]), 128),
];

/// Link-local addresses (RFC 3927, RFC 4291).
const LINK_LOCAL: &[Network] = &[(v4(169, 254, 0, 0), 16), (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10)];

/// Private networks: RFC 1918, carrier-grade NAT (RFC 6598), link-local addresses, unique local addresses (RFC 4193) and their
/// predecessors (RFC 3879).
const PRIVATE: &[Network] = &[
    (v4(10, 0, 0, 0), 8),
    (v4(172, 16, 0, 0), 12),
    (v4(192, 168, 0, 0), 16),
    (v4(100, 64, 0, 0), 10),
    (v4(169, 254, 0, 0), 16),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10),
];

/// An address as written by the guest, and the IPv4 addresses that it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms {
    written: IpAddr,
    carried: Vec<Ipv4Addr>,
}

impl Forms {
    /// Returns the forms of `written`; `None` if a carried address is not a unicast address of one machine.
    pub fn of(written: IpAddr) -> Option<Self> {
        let carried = match written {
            IpAddr::V4(_) => Vec::new(),
            IpAddr::V6(address) => carried(address),
        };
        let is_none = |address: &Ipv4Addr| matches!(address.octets()[0], 0 | 127 | 224..);
        (!carried.iter().any(is_none)).then_some(Self { written, carried })
    }

    /// Iterates over all forms.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        [self.written].into_iter().chain(self.carried.iter().copied().map(IpAddr::V4))
    }

    /// Returns true if a rule that forbids the addresses `within` a network forbids this one: in any form.
    pub fn any(&self, within: impl Fn(IpAddr) -> bool) -> bool {
        self.all().any(within)
    }

    /// Returns true if a rule that permits the addresses `within` a network permits this one: as written, or all that it
    /// carries.
    pub fn each(&self, within: impl Fn(IpAddr) -> bool) -> bool {
        let mut carried = self.carried.iter().map(|address| within(IpAddr::V4(*address))).peekable();
        within(self.written) || carried.peek().is_some() && carried.all(|is_within| is_within)
    }

    /// Class by the address alone.
    pub fn class(&self) -> Class {
        let is_of = |networks: &[Network]| self.any(|address| is_within(address, networks));
        match () {
            () if is_of(METADATA) => Class::Metadata,
            () if is_of(LINK_LOCAL) => Class::LinkLocal,
            () => Class::Outside,
        }
    }
}

/// Returns true if `address` belongs to a private network.
pub fn is_private(address: IpAddr) -> bool {
    is_within(address, PRIVATE)
}

fn is_within(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| contains(*network, address))
}

/// Returns true if a network contains an address of its family.
pub fn contains((network, prefix): Network, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            (u32::from(network) ^ u32::from(address)) & mask == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            (u128::from(network) ^ u128::from(address)) & mask == 0
        }
        _ => false,
    }
}

/// IPv4 addresses that an IPv6 address leads to.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bits = u128::from(address);
    let at = |bits: u128, start: u32| Ipv4Addr::from(((bits << start) >> 96) as u32);
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            vec![at(bits, 96)]
        }
        [0x64, 0xff9b, 1, ..] => {
            // The byte after the first 64 bits is not part of the address (RFC 6052, 2.2). A place that holds no unicast
            // address is assumed to be part of an address elsewhere.
            let whole = bits >> 64 << 64 | (bits << 72) >> 64;
            let places = [at(whole, 48), at(whole, 56), at(whole, 64), at(bits, 96)];
            places.into_iter().filter(|place| (1..224).contains(&place.octets()[0])).collect()
        }
        [0x2002, ..] => vec![at(bits, 16)],
        [0x2001, 0, ..] => vec![at(!bits, 96), at(bits, 32)],
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => vec![at(bits, 96)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Option<Forms> {
        Forms::of(text.parse().expect(text))
    }

    #[test]
    fn every_form_of_an_address_is_known() {
        for form in [
            "169.254.169.254",
            "::169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:2:3::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:2a9:fe:a9fe::",
            "64:ff9b:1:1:a9:fea9:fe00::",
            "2002:a9fe:a9fe::1",
            "2001:0:102:304:0:ffff:5601:5601",
            "2001:0:a9fe:a9fe:0:ffff:fefd:fcfb",
            "2001:db8::5efe:169.254.169.254",
            "fe80::200:5efe:169.254.169.254",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "100.100.100.200",
            "64:ff9b::100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fe80::a9fe:a9fe",
        ] {
            assert_eq!(forms(form).map(|forms| forms.class()), Some(Class::Metadata), "{form}");
        }
        for form in ["64:ff9b::169.254.1.1", "fe80::1", "169.254.1.1"] {
            assert_eq!(forms(form).map(|forms| forms.class()), Some(Class::LinkLocal), "{form}");
        }
        for form in ["1.1.1.1", "64:ff9b::1.1.1.1", "64:ff9b:1::8.8.8.8", "2606:4700::1111", "2002:808:808::1"] {
            assert_eq!(forms(form).map(|forms| forms.class()), Some(Class::Outside), "{form}");
        }
    }

    #[test]
    fn what_carries_no_address_of_a_machine_leads_nowhere() {
        for form in ["64:ff9b::127.0.0.1", "2002:7f00:1::1", "64:ff9b::224.0.0.1", "64:ff9b::", "64:ff9b:1::127.0.0.1"]
        {
            assert_eq!(forms(form), None, "{form}");
        }
    }

    #[test]
    fn a_form_is_forbidden_by_what_it_carries_and_permitted_by_all_of_it() {
        let within = |network: Network| move |address| contains(network, address);
        let ambiguous = forms("64:ff9b:1:0a00:0001:0000:0808:0808").expect("an address");
        assert!(ambiguous.any(within((v4(10, 0, 0, 0), 8))), "10.0.1.0, for a network of /48");
        assert!(!ambiguous.each(within((v4(8, 8, 8, 8), 32))), "not that alone");
        assert!(ambiguous.each(within((v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48))), "as it is written");
        let plain = forms("64:ff9b::8.8.8.8").expect("an address");
        assert!(plain.each(within((v4(8, 8, 8, 8), 32))));
        assert!(!forms("2606::1").expect("an address").each(within((v4(8, 8, 8, 8), 32))));
    }

    #[test]
    fn private_networks_are_known() {
        for address in ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.127.0.1", "169.254.3.4", "fd12::1", "fe80::1"] {
            assert!(is_private(address.parse().expect("an address")), "{address}");
        }
        for address in ["11.0.0.1", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(address.parse().expect("an address")), "{address}");
        }
    }
}
