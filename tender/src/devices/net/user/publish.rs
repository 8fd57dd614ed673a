//! Published ports: `[ADDRESS:]HOST:GUEST[/udp]`.
//!
//! Without an address, a port is published at 127.0.0.1: other machines reach it only if the user says so.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Address on which the host listens. `[::]` takes clients of IPv4 as well.
    pub host: SocketAddr,
    /// Port of the guest.
    pub guest: u16,
    /// True for a UDP port, false for TCP.
    pub udp: bool,
}

impl Publish {
    /// Reads the value of `--publish`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write [ADDRESS:]HOST:GUEST[/udp], such as 8080:80, 0.0.0.0:8080:80 or 5353:53/udp";
        let read = || {
            let (ports, udp) = match text.split_once('/') {
                Some((ports, "udp")) => (ports, true),
                Some((ports, "tcp")) => (ports, false),
                Some(_) => return None,
                None => (text, false),
            };
            let (rest, guest) = ports.rsplit_once(':')?;
            let (address, host): (IpAddr, _) = match rest.rsplit_once(':') {
                Some((address, host)) => (address.trim_matches(['[', ']']).parse().ok()?, host),
                None => (Ipv4Addr::LOCALHOST.into(), rest),
            };
            let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
            Some(Self { host: SocketAddr::new(address, port(host)?), guest: port(guest)?, udp })
        };
        read().ok_or_else(|| USAGE.to_owned())
    }

    /// Protocol of the port.
    pub const fn protocol(&self) -> &'static str {
        if self.udp { "UDP" } else { "TCP" }
    }
}

/// A sentence for the person at the terminal: the guest's port, and its address on the host.
impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {} of the guest is at {}", self.protocol(), self.guest, self.host)?;
        match self.host.ip() {
            IpAddr::V4(address) if address.is_unspecified() => f.write_str(", every IPv4 address of this host"),
            IpAddr::V6(address) if address.is_unspecified() => f.write_str(", every address of this host"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let read = |text| Publish::parse(text).expect(text);
        let host = |text: &str| text.parse().expect("an address");
        assert_eq!(read("8080:80"), Publish { host: host("127.0.0.1:8080"), guest: 80, udp: false });
        assert_eq!(read("192.0.2.1:53:5353/udp"), Publish { host: host("192.0.2.1:53"), guest: 5353, udp: true });
        assert_eq!(read("[::1]:1:2/tcp").host, host("[::1]:1"));
        for wrong in ["", "80", "80:", ":80", "0:80", "80:0", "a:80", "80:80/icmp", "x:80:80", "80:99999"] {
            assert!(Publish::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_said_where_a_port_is() {
        let said = |text| Publish::parse(text).expect(text).to_string();
        assert_eq!(said("8080:80"), "TCP port 80 of the guest is at 127.0.0.1:8080");
        assert_eq!(said("0.0.0.0:1:2/udp"), "UDP port 2 of the guest is at 0.0.0.0:1, every IPv4 address of this host");
        assert_eq!(said("[::]:1:2"), "TCP port 2 of the guest is at [::]:1, every address of this host");
    }
}
