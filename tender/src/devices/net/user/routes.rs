//! Query for the host's own addresses: the routing table (rtnetlink(7)) is asked each time, so changes of the host's interfaces
//! while the guest runs are seen.
//!
//! The socket is opened before the tender confines itself. The kernel answers each request before `send` returns.

use crate::confine::{Descriptors, Role};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::IpAddr;

/// Handle of the routing table.
#[derive(Debug)]
pub struct Routes {
    socket: Socket,
    sequence: u32,
}

/// Length of a netlink message's header (`struct nlmsghdr`), which states the message's length and type.
const HEADER: usize = 16;
/// Length of the header of a route message (`struct rtmsg`), and the offset of the route's type in it.
const ROUTE: usize = 12;
const ROUTE_TYPE: usize = HEADER + 7;
/// Messages read for one answer: others are late answers to earlier requests.
const MESSAGES: usize = 8;

/// Answer of the routing table about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Packets to the address stay on the host.
    Local,
    /// Packets to the address leave the host, or cannot be sent.
    Elsewhere,
    /// The message answers another request.
    Another,
}

impl Routes {
    /// Opens the netlink socket.
    pub fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Adds the socket to `descriptors`.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Routes, &self.socket);
    }

    /// Returns true if packets to `address` stay on the host, and, to be safe, if the kernel does not answer.
    pub fn is_local(&mut self, address: IpAddr) -> bool {
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(address, self.sequence);
        if self.socket.send(&question).is_err() {
            return true;
        }
        let mut bytes = [0; 4096];
        for _ in 0..MESSAGES {
            let Ok(length) = (&self.socket).read(&mut bytes) else { return true };
            match answer(&bytes[..length], self.sequence) {
                Some(Answer::Another) => {}
                answer => return answer != Some(Answer::Elsewhere),
            }
        }
        true
    }
}

/// Builds the message RTM_GETROUTE with an attribute RTA_DST.
fn question(address: IpAddr, sequence: u32) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let attribute = 4 + octets.len() as u16;
    let length = (HEADER + ROUTE) as u32 + u32::from(attribute);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(libc::RTM_GETROUTE.to_ne_bytes());
    bytes.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family as u8, (octets.len() * 8) as u8]);
    bytes.extend([0; ROUTE - 2]);
    bytes.extend(attribute.to_ne_bytes());
    bytes.extend(libc::RTA_DST.to_ne_bytes());
    bytes.extend(octets);
    bytes
}

/// Parses the answer to the request with this number; `None` if it cannot be used.
fn answer(bytes: &[u8], sequence: u32) -> Option<Answer> {
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if word(8)? != sequence {
        return Some(Answer::Another);
    }
    match half(4)? {
        libc::RTM_NEWROUTE => match *bytes.get(ROUTE_TYPE)? {
            libc::RTN_LOCAL | libc::RTN_ANYCAST | libc::RTN_BROADCAST => Some(Answer::Local),
            _ => Some(Answer::Elsewhere),
        },
        // There is no route, or one that prohibits: packets cannot be sent there.
        kind if kind == libc::NLMSG_ERROR as u16 => match (word(HEADER)? as i32).wrapping_neg() {
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL => Some(Answer::Elsewhere),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_knows_its_own_addresses() {
        let mut routes = Routes::open().expect("Linux has netlink");
        for address in ["127.0.0.1", "127.1.2.3"] {
            assert!(routes.is_local(address.parse().expect("an address")), "{address}");
        }
        for address in ["192.0.2.1", "2001:db8::1"] {
            assert!(!routes.is_local(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_none() {
        let mut message = vec![0; HEADER + ROUTE];
        message[4..6].copy_from_slice(&libc::RTM_NEWROUTE.to_ne_bytes());
        message[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        message[ROUTE_TYPE] = libc::RTN_UNICAST;
        assert_eq!(answer(&message, 7), Some(Answer::Elsewhere));
        assert_eq!(answer(&message, 8), Some(Answer::Another));
        assert_eq!(answer(&message[..ROUTE_TYPE], 7), None);
        message[ROUTE_TYPE] = libc::RTN_LOCAL;
        assert_eq!(answer(&message, 7), Some(Answer::Local));
        message[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        message[HEADER..HEADER + 4].copy_from_slice(&(-libc::ENETUNREACH).to_ne_bytes());
        assert_eq!(answer(&message, 7), Some(Answer::Elsewhere));
        message[HEADER..HEADER + 4].copy_from_slice(&(-libc::ENOBUFS).to_ne_bytes());
        assert_eq!(answer(&message, 7), None);
    }
}
