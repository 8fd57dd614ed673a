//! Published ports: `[ADDRESS:]HOST:GUEST[/udp]`.

use std::net::{IpAddr, SocketAddr};

/// One published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Address of the host, if not all of them, that is listened on.
    pub address: Option<IpAddr>,
    /// Port of the host.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
    /// Whether it is a port of UDP rather than TCP.
    pub udp: bool,
}

impl Publish {
    /// Reads the value of `--publish`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write [ADDRESS:]HOST:GUEST[/udp], such as 8080:80, 127.0.0.1:8080:80 or 5353:53/udp";
        let read = || {
            let (ports, udp) = match text.split_once('/') {
                Some((ports, "udp")) => (ports, true),
                Some((ports, "tcp")) => (ports, false),
                Some(_) => return None,
                None => (text, false),
            };
            let (rest, guest) = ports.rsplit_once(':')?;
            let (address, host) = match rest.rsplit_once(':') {
                Some((address, host)) => (Some(address.trim_matches(['[', ']']).parse().ok()?), host),
                None => (None, rest),
            };
            let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
            Some(Self { address, host: port(host)?, guest: port(guest)?, udp })
        };
        read().ok_or_else(|| USAGE.to_owned())
    }

    /// What is to be listened on; if the first cannot be, the second.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let any = [IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)];
        let addresses = self.address.map_or(any.to_vec(), |address| vec![address]);
        addresses.into_iter().map(|address| SocketAddr::new(address, self.host)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let read = |text| Publish::parse(text).expect(text);
        assert_eq!(read("8080:80"), Publish { address: None, host: 8080, guest: 80, udp: false });
        let local = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(read("127.0.0.1:53:5353/udp"), Publish { address: local, host: 53, guest: 5353, udp: true });
        assert_eq!(read("[::1]:1:2/tcp").address, Some("::1".parse().expect("an address")));
        for wrong in ["", "80", "80:", ":80", "0:80", "80:0", "a:80", "80:80/icmp", "x:80:80", "80:99999"] {
            assert!(Publish::parse(wrong).is_err(), "{wrong}");
        }
    }
}
