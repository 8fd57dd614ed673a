//! Rules on where a guest may connect: `--allow` and `--deny NETWORK[:PORT]`.
//!
//! Rules are checked in the order of the command line, and the first that matches decides. If none matches, the guest may
//! connect to any address outside and query the name server; but once there is one `--allow`, the rules are a list, and all
//! else is denied. Three kinds of destination have to be allowed by name: the host itself, metadata services of clouds, and
//! link-local neighbours (`Class`). A network that happens to contain one of the first two does not name it; its single address
//! does.

use super::addresses::{DNS_PORT, Place, place};
use super::destination::{Class, Forms, contains, is_private};
use crate::devices::net::address::network;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Rules of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(pub Vec<Rule>);

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    allow: bool,
    to: To,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Host,
    Dns,
    Metadata,
    Private,
    All,
    Network(IpAddr, u8),
}

/// Destinations named by a word, and their descriptions.
const WORDS: [(&str, To, &str); 5] = [
    ("host", To::Host, "the host itself"),
    ("dns", To::Dns, "the name server"),
    ("metadata", To::Metadata, "metadata services of clouds"),
    ("private", To::Private, "private networks"),
    ("all", To::All, "anything outside"),
];

/// Destination that the guest asks for.
#[derive(Debug)]
struct Destination {
    class: Class,
    port: u16,
    /// Address as the guest wrote it.
    written: IpAddr,
    /// Forms of the address; `None` for an address of the network itself.
    forms: Option<Forms>,
}

impl Rule {
    /// Reads the value of `--allow` or `--deny`.
    pub fn parse(allow: bool, text: &str) -> Result<Self, String> {
        const USAGE: &str = "write NETWORK[:PORT], such as 192.0.2.0/24, 192.0.2.1:443, [2001:db8::]/32, all:25 or \
                             host:5432; words are all, private, dns, host and metadata";
        let read = || {
            let (to, port) = match text.rsplit_once(':') {
                // The colons of an IPv6 network are inside brackets, or it has no port.
                Some((to, port)) if !to.contains(':') || to.contains(']') => (to, Some(port.parse().ok()?)),
                _ => (text, None),
            };
            if let Some((_, to, _)) = WORDS.iter().find(|(word, ..)| *word == to) {
                return Some((*to, port));
            }
            let bare = to.replace(['[', ']'], "");
            let (address, prefix) = network(&bare).or_else(|| {
                let address: IpAddr = bare.parse().ok()?;
                Some((address, longest(address)))
            })?;
            Some((To::Network(address, prefix), port))
        };
        let (to, port) = read().ok_or(USAGE)?;
        Ok(Self { allow, to, port })
    }

    fn fits(&self, to: &Destination) -> bool {
        self.port.is_none_or(|port| port == to.port) && if self.allow { self.permits(to) } else { self.forbids(to) }
    }

    fn permits(&self, to: &Destination) -> bool {
        let is_apart = matches!(to.class, Class::Host | Class::Metadata);
        match self.to {
            To::Host => to.class == Class::Host,
            To::Dns => to.class == Class::Dns,
            To::Metadata => to.class == Class::Metadata,
            To::All => matches!(to.class, Class::Outside | Class::Dns),
            To::Private => !is_apart && to.forms.as_ref().is_some_and(|forms| forms.each(is_private)),
            To::Network(address, prefix) if prefix == longest(address) => {
                address == to.written || to.forms.as_ref().is_some_and(|forms| forms.each(|form| form == address))
            }
            To::Network(address, prefix) => {
                let within = |form| contains((address, prefix), form);
                !is_apart && to.forms.as_ref().is_some_and(|forms| forms.each(within))
            }
        }
    }

    fn forbids(&self, to: &Destination) -> bool {
        match self.to {
            To::Host => to.class == Class::Host,
            To::Dns => to.class == Class::Dns,
            To::Metadata => to.class == Class::Metadata,
            To::All => to.class != Class::Host,
            To::Private => to.forms.as_ref().is_some_and(|forms| forms.any(is_private)),
            To::Network(address, prefix) => {
                let within = |form| contains((address, prefix), form);
                prefix == longest(address) && address == to.written
                    || to.forms.as_ref().is_some_and(|forms| forms.any(within))
            }
        }
    }
}

fn longest(address: IpAddr) -> u8 {
    (if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS }) as u8
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to ", if self.allow { "connections" } else { "no connections" })?;
        match (self.to, WORDS.iter().find(|(_, to, _)| *to == self.to)) {
            (To::Network(network, prefix), _) => write!(f, "{network}/{prefix}")?,
            (_, Some((.., called))) => f.write_str(called)?,
            (_, None) => {}
        }
        self.port.map_or(Ok(()), |port| write!(f, ", port {port}"))
    }
}

impl Policy {
    /// Returns the host's target for a connection of the guest to `to`; `None` if the rules deny it. `resolver` is the host's
    /// own, and `is_local` returns true for addresses of the host.
    pub fn target(
        &self,
        to: SocketAddr,
        resolver: Option<IpAddr>,
        is_local: impl FnMut(IpAddr) -> bool,
    ) -> Option<SocketAddr> {
        let own = |class| Destination { class, port: to.port(), written: to.ip(), forms: None };
        match place(to.ip()) {
            Place::NameServer if to.port() == DNS_PORT && self.allows(&own(Class::Dns)) => {
                resolver.map(|resolver| SocketAddr::new(resolver, DNS_PORT))
            }
            Place::Host if self.allows(&own(Class::Host)) => {
                let loopback: IpAddr =
                    if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
                Some(SocketAddr::new(loopback, to.port()))
            }
            Place::Outside => self.lets_out(to, is_local).then_some(to),
            _ => None,
        }
    }

    /// Returns true if the guest may connect to an address that seems to be outside.
    fn lets_out(&self, to: SocketAddr, is_local: impl FnMut(IpAddr) -> bool) -> bool {
        let Some(forms) = Forms::of(to.ip()) else { return false };
        let class = forms.class();
        let addresses: Vec<_> = forms.all().collect();
        let mut to = Destination { class, port: to.port(), written: to.ip(), forms: Some(forms) };
        let if_outside = self.allows(&to);
        to.class = Class::Host;
        let if_host = self.allows(&to);
        match class == Class::Metadata && !if_outside {
            true => false,
            false if if_outside == if_host => if_host,
            // The host is asked only if the answer matters.
            false if addresses.into_iter().any(is_local) => if_host,
            false => if_outside,
        }
    }

    /// Returns true if a rule lets the guest connect to the host itself.
    pub fn allows_host(&self) -> bool {
        self.0.iter().any(|rule| rule.allow && rule.to == To::Host)
    }

    /// Describes the rules in words: a line for each rule, and one for the rest.
    pub fn lines(&self) -> Vec<String> {
        const REST: &str = "everything else outside, and to the name server; but not to link-local addresses, metadata \
                            services of clouds and the host itself";
        let rest = if self.is_list() { "nothing else" } else { REST };
        self.0.iter().map(Rule::to_string).chain([format!("connections to {rest}")]).collect()
    }

    /// Returns true if only allowed destinations are reached: a rule for the host or metadata, which must be named anyway, does
    /// not count.
    fn is_list(&self) -> bool {
        self.0.iter().any(|rule| rule.allow && !matches!(rule.to, To::Host | To::Metadata))
    }

    fn allows(&self, to: &Destination) -> bool {
        let decided = self.0.iter().find(|rule| rule.fits(to)).map(|rule| rule.allow);
        decided.unwrap_or_else(|| !self.is_list() && matches!(to.class, Class::Outside | Class::Dns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[(bool, &str)]) -> Policy {
        Policy(rules.iter().map(|(allow, text)| Rule::parse(*allow, text).expect(text)).collect())
    }

    /// Returns true if a guest reaches `to` from a host that has the addresses 198.51.100.1 and 2001:db8::1.
    fn reaches(rules: &[(bool, &str)], to: &str) -> bool {
        let own: [IpAddr; 2] = [[198, 51, 100, 1].into(), "2001:db8::1".parse().expect("an address")];
        let resolver = Some([9, 9, 9, 9].into());
        policy(rules).target(to.parse().expect(to), resolver, |address| own.contains(&address)).is_some()
    }

    #[test]
    fn without_rules_everything_outside_is_reached_but_secrets() {
        for to in ["1.1.1.1:443", "[2606:4700::1]:443", "192.168.1.1:80", "[64:ff9b::1.1.1.1]:80", "10.0.2.3:53"] {
            assert!(reaches(&[], to), "{to}");
        }
        for to in [
            "169.254.169.254:80",
            "[64:ff9b::169.254.169.254]:80",
            "[fd00:ec2::254]:80",
            "100.100.100.200:80",
            "[fe80::1]:80",
            "127.0.0.1:80",
            "[64:ff9b::127.0.0.1]:80",
            "10.0.2.4:80",
            "198.51.100.1:80",
            "[2001:db8::1]:80",
            "[64:ff9b::198.51.100.1]:80",
            "10.0.2.2:80",
            "10.0.2.3:80",
            "224.0.0.1:5",
        ] {
            assert!(!reaches(&[], to), "{to}");
        }
        let resolver =
            policy(&[]).target("10.0.2.3:53".parse().expect("an address"), Some([9, 9, 9, 9].into()), |_| false);
        assert_eq!(resolver, Some("9.9.9.9:53".parse().expect("an address")));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [(false, "192.0.2.1"), (true, "192.0.2.0/24:443"), (false, "all:25")];
        assert!(!reaches(&rules, "192.0.2.1:443"));
        assert!(reaches(&rules, "192.0.2.2:443"));
        assert!(reaches(&rules, "[64:ff9b::192.0.2.2]:443") && !reaches(&rules, "[64:ff9b::192.0.2.1]:443"));
        assert!(!reaches(&rules, "192.0.2.2:80"), "a list is all there is");
        assert!(!reaches(&[(false, "all:25")], "1.1.1.1:25") && reaches(&[(false, "all:25")], "1.1.1.1:26"));
        assert!(!reaches(&[(false, "all")], "[2606::1]:26") && reaches(&[(true, "169.254.0.0/16")], "169.254.1.1:80"));
        assert!(!reaches(&[(false, "[2001:db8::]/32")], "[2001:db8::5]:1"));
        assert!(!reaches(&[(false, "all"), (true, "all")], "1.1.1.1:1") && reaches(&[(true, "all")], "1.1.1.1:1"));
    }

    #[test]
    fn names_are_asked_for_unless_a_rule_is_against_it() {
        for rules in [&[(false, "dns")][..], &[(false, "all")], &[(false, "all:53")], &[(true, "192.0.2.0/24")]] {
            assert!(!reaches(rules, "10.0.2.3:53"), "{rules:?}");
            assert!(!reaches(rules, "[fd68:7573:6b00:2::3]:53"), "{rules:?}");
        }
        let listed = [(true, "192.0.2.0/24"), (true, "dns")];
        for rules in [&listed[..], &[(true, "all")], &[(false, "10.0.0.0/8")], &[(false, "private")], &[(true, "host")]]
        {
            assert!(reaches(rules, "10.0.2.3:53"), "{rules:?}");
        }
        assert!(!reaches(&[(true, "dns")], "1.1.1.1:443"), "it is a list");
        assert!(!reaches(&[(false, "10.0.2.3")], "10.0.2.3:53"), "by its address");
    }

    #[test]
    fn the_host_is_reached_by_its_name_only() {
        for to in ["10.0.2.4:80", "198.51.100.1:80", "[2001:db8::1]:80"] {
            for rules in [&[(true, "all")][..], &[(true, "198.51.100.0/24")], &[(true, "::/0")], &[(true, "0.0.0.0/0")]]
            {
                assert!(!reaches(rules, to), "{rules:?} {to}");
            }
            assert!(reaches(&[(true, "host:80")], to) && !reaches(&[(true, "host:81")], to), "{to}");
            assert!(reaches(&[(false, "all"), (true, "host")], to), "all is what is outside");
            assert!(!reaches(&[(false, "host"), (true, "host")], to));
        }
        assert!(reaches(&[(true, "198.51.100.1")], "198.51.100.1:80"), "by its single address");
        assert!(!reaches(&[(false, "198.51.100.0/24"), (true, "host")], "198.51.100.1:80"));
        assert!(reaches(&[(true, "host")], "1.1.1.1:80"), "the host on a list does not make it one");
        let target = policy(&[(true, "host")]);
        let target = target.target("[fd68:7573:6b00:2::4]:80".parse().expect("an address"), None, |_| false);
        assert_eq!(target, Some("[::1]:80".parse().expect("an address")));
    }

    #[test]
    fn secrets_are_told_only_if_they_are_named() {
        let forms = ["169.254.169.254:80", "[64:ff9b::169.254.169.254]:80", "[2002:a9fe:a9fe::]:80"];
        for to in forms {
            for rules in [(true, "all"), (true, "private"), (true, "169.254.0.0/16"), (true, "::/0"), (true, "host")] {
                assert!(!reaches(&[rules], to), "{rules:?} {to}");
            }
            assert!(reaches(&[(true, "metadata")], to) && reaches(&[(true, "169.254.169.254")], to), "{to}");
            assert!(!reaches(&[(false, "private"), (true, "metadata")], to), "{to}");
        }
        assert!(reaches(&[(true, "metadata")], "1.1.1.1:80"), "it adds to what is reached");
    }

    #[test]
    fn private_networks_have_a_word() {
        for to in ["10.1.2.3:80", "[fd12::1]:80", "100.64.0.1:80", "[64:ff9b::10.1.2.3]:80", "192.168.0.1:80"] {
            assert!(reaches(&[], to) && !reaches(&[(false, "private")], to), "{to}");
            assert!(reaches(&[(true, "private")], to), "{to}");
        }
        assert!(reaches(&[(true, "private")], "169.254.1.1:80"));
        assert!(reaches(&[(false, "private")], "1.1.1.1:80") && !reaches(&[(true, "private")], "1.1.1.1:80"));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for wrong in ["", "x", "1.2.3.4/33", "1.2.3.4:x", "host:99999", ":80", "dns/8", "[all]"] {
            assert!(Rule::parse(true, wrong).is_err(), "{wrong}");
        }
    }
}
