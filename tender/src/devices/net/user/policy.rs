//! Where a guest may connect to: `--allow` and `--deny NETWORK[:PORT]`.
//!
//! The rules are looked at in the order in which they were given, and the first that fits decides. If none fits, the guest
//! may connect to anything outside but link-local addresses, where clouds keep their secrets; and to nothing at all as
//! soon as there is one `--allow`, for then that is the list. The host's loopback has to be allowed by its name, `host`.
//! The name server is the gateway's own, and not subject to rules.

use super::addresses::{DNS_PORT, Place, place};
use crate::devices::net::options::network;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The rules of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(pub Vec<Rule>);

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    allow: bool,
    to: To,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Host,
    All,
    Network(IpAddr, u8),
}

impl Rule {
    /// Reads the value of `--allow` or `--deny`.
    pub fn parse(allow: bool, text: &str) -> Result<Self, String> {
        const USAGE: &str =
            "write NETWORK[:PORT], such as 192.0.2.0/24, 192.0.2.1:443, [2001:db8::]/32, all:25 or host:5432";
        let read = || {
            let (to, port) = match text.rsplit_once(':') {
                // The colons of an IPv6 network are inside brackets, or it has no port.
                Some((to, port)) if !to.contains(':') || to.contains(']') => (to, Some(port.parse().ok()?)),
                _ => (text, None),
            };
            let bare = to.replace(['[', ']'], "");
            let to = match bare.as_str() {
                "host" => To::Host,
                "all" => To::All,
                _ => {
                    let (address, prefix) = network(&bare).or_else(|| {
                        let address: IpAddr = bare.parse().ok()?;
                        Some((address, if address.is_ipv4() { 32 } else { 128 }))
                    })?;
                    To::Network(address, prefix)
                }
            };
            Some((to, port))
        };
        let (to, port) = read().ok_or(USAGE)?;
        Ok(Self { allow, to, port })
    }

    fn fits(&self, to: SocketAddr) -> bool {
        let is_host = place(to.ip()) == Place::Host;
        self.port.is_none_or(|port| port == to.port())
            && match self.to {
                To::Host => is_host,
                To::All => !is_host,
                To::Network(network, prefix) => !is_host && contains(network, prefix, to.ip()),
            }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to ", if self.allow { "connections" } else { "no connections" })?;
        match self.to {
            To::Host => write!(f, "the host's loopback")?,
            To::All => write!(f, "anything outside")?,
            To::Network(network, prefix) => write!(f, "{network}/{prefix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ", port {port}"))
    }
}

fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
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

impl Policy {
    /// Where the host connects to when the guest wants `to`; nothing if it may not. `resolver` is the host's own.
    pub fn target(&self, to: SocketAddr, resolver: Option<IpAddr>) -> Option<SocketAddr> {
        match place(to.ip()) {
            Place::NameServer if to.port() == DNS_PORT => resolver.map(|resolver| SocketAddr::new(resolver, DNS_PORT)),
            Place::Host if self.allows(to) => {
                let loopback = if to.is_ipv4() {
                    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
                } else {
                    IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
                };
                Some(SocketAddr::new(loopback, to.port()))
            }
            Place::Outside if self.allows(to) => Some(to),
            _ => None,
        }
    }

    /// What it comes to, in words: a line for each rule, and one for the rest.
    pub fn lines(&self) -> Vec<String> {
        let rest = if self.is_list() { "nothing else" } else { "everything else outside but link-local addresses" };
        self.0.iter().map(Rule::to_string).chain([format!("connections to {rest}")]).collect()
    }

    /// Whether only what is allowed is reached.
    fn is_list(&self) -> bool {
        self.0.iter().any(|rule| rule.allow && rule.to != To::Host)
    }

    fn allows(&self, to: SocketAddr) -> bool {
        let decided = self.0.iter().find(|rule| rule.fits(to)).map(|rule| rule.allow);
        let is_list = self.is_list();
        decided.unwrap_or_else(|| !is_list && place(to.ip()) == Place::Outside && !is_link_local(to.ip()))
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[(bool, &str)]) -> Policy {
        Policy(rules.iter().map(|(allow, text)| Rule::parse(*allow, text).expect(text)).collect())
    }

    fn reaches(rules: &[(bool, &str)], to: &str) -> bool {
        policy(rules).target(to.parse().expect(to), Some([9, 9, 9, 9].into())).is_some()
    }

    #[test]
    fn without_rules_everything_outside_is_reached_but_secrets() {
        assert!(reaches(&[], "1.1.1.1:443") && reaches(&[], "[2606:4700::1]:443") && reaches(&[], "192.168.1.1:80"));
        for to in ["169.254.169.254:80", "[fe80::1]:80", "127.0.0.1:80", "10.0.2.4:80", "10.0.2.2:80", "224.0.0.1:5"] {
            assert!(!reaches(&[], to), "{to}");
        }
        let resolver = policy(&[]).target("10.0.2.3:53".parse().expect("an address"), Some([9, 9, 9, 9].into()));
        assert_eq!(resolver, Some("9.9.9.9:53".parse().expect("an address")));
        assert!(!reaches(&[], "10.0.2.3:80"));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [(false, "192.0.2.1"), (true, "192.0.2.0/24:443"), (false, "all:25")];
        assert!(!reaches(&rules, "192.0.2.1:443"));
        assert!(reaches(&rules, "192.0.2.2:443"));
        assert!(!reaches(&rules, "192.0.2.2:80"), "a list is all there is");
        assert!(!reaches(&[(false, "all:25")], "1.1.1.1:25") && reaches(&[(false, "all:25")], "1.1.1.1:26"));
        assert!(!reaches(&[(false, "all")], "[2606::1]:26") && reaches(&[(true, "169.254.0.0/16")], "169.254.1.1:80"));
        assert!(!reaches(&[(false, "[2001:db8::]/32")], "[2001:db8::5]:1"));
    }

    #[test]
    fn the_host_is_reached_by_its_name_only() {
        assert!(!reaches(&[(true, "all")], "10.0.2.4:80"));
        assert!(reaches(&[(true, "host:80")], "10.0.2.4:80") && !reaches(&[(true, "host:80")], "10.0.2.4:81"));
        assert!(reaches(&[(true, "host")], "1.1.1.1:80"), "the host on a list does not make it one");
        let target = policy(&[(true, "host")]).target("[fd68:7573:6b00:2::4]:80".parse().expect("an address"), None);
        assert_eq!(target, Some("[::1]:80".parse().expect("an address")));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for wrong in ["", "x", "1.2.3.4/33", "1.2.3.4:x", "host:99999", ":80"] {
            assert!(Rule::parse(true, wrong).is_err(), "{wrong}");
        }
    }
}
