//! Sockets of `AF_NETLINK` that list the network interfaces and their addresses: rtnetlink(7), as far as getifaddrs(3) and
//! if_nameindex(3) use it. They are datagrams: a send is a request, and the answer is received.

use super::{Net, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::ready::Ready;
use crate::fs::socket::address::Address;
use crate::fs::socket::queue::Message;
use crate::process::PROCESS;
use crate::syscall_result::SyscallResult;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use husk::abi::device::FRAME_HEADER;
use linux_raw_sys::netlink::{NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};

// Kinds of messages, and attributes of interfaces and addresses: rtnetlink(7), linux/if_link.h, linux/if_addr.h.
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const LINK_ADDRESS: u16 = 1;
const LINK_BROADCAST: u16 = 2;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_LABEL: u16 = 3;
const ADDRESS_BROADCAST: u16 = 4;
/// Flag of an address that does not expire.
const PERMANENT: u8 = 0x80;
// Scope of an address: anywhere, its own link, this machine.
const ANYWHERE: u8 = 0;
const ON_LINK: u8 = 253;
const HERE: u8 = 254;
/// Kinds of hardware, and the interface's flags: up and running; with a loopback or with broadcast and multicast.
const LOOPBACK: (u16, u32) = (772, 0x1_0049);
const ETHERNET: (u16, u32) = (1, 0x1_1043);
/// MTU of the loopback; Linux's.
const LOOPBACK_MTU: usize = 65_536;

/// Bytes of a `struct nlmsghdr`.
const HEADER: usize = 16;
/// Alignment of messages and attributes, in bytes.
const ALIGNMENT: usize = 4;
/// Longest request, in bytes.
const QUESTION_MAXIMUM: u64 = 4096;
/// Longest name of an interface, in bytes.
const NAME_MAXIMUM: usize = 15;

/// An interface.
struct Interface {
    number: u32,
    name: &'static [u8],
    hardware: (u16, u32),
    mac: [u8; 6],
    mtu: usize,
    /// Addresses, each with the prefix length of its network.
    addresses: Vec<(IpAddr, u8)>,
}

/// A request.
struct Question<'a> {
    kind: u16,
    flags: u32,
    sequence: u32,
    header: &'a [u8; HEADER],
    body: &'a [u8],
}

/// Returns the first request in the bytes sent, and the rest.
fn question(bytes: &[u8]) -> Option<(Question<'_>, &[u8])> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
    let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
    let body = bytes.get(HEADER..length)?;
    let question = Question {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]).into(),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        header,
        body,
    };
    Some((question, bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default()))
}

/// Appends a message with its attributes.
fn report_ready(into: &mut Vec<u8>, kind: u16, flags: u32, sequence: u32, body: &[u8], reported: &[(u16, &[u8])]) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&kind.to_ne_bytes());
    into.extend_from_slice(&(flags as u16).to_ne_bytes());
    into.extend_from_slice(&sequence.to_ne_bytes());
    into.extend_from_slice(&PROCESS.to_ne_bytes());
    into.extend_from_slice(body);
    for (kind, value) in reported {
        into.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        into.extend_from_slice(&kind.to_ne_bytes());
        into.extend_from_slice(value);
        into.resize(into.len().next_multiple_of(ALIGNMENT), 0);
    }
    let length = (into.len() - start) as u32;
    into[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

impl Interface {
    fn report_ready(&self, question: &Question<'_>, flags: u32, into: &mut Vec<u8>) {
        let (kind, state) = self.hardware;
        let [k0, k1] = kind.to_ne_bytes();
        let number = self.number.to_ne_bytes();
        let body = [[0, 0, k0, k1], number, state.to_ne_bytes(), [0; 4]].concat();
        let name = [self.name, b"\0"].concat();
        let broadcast = [if self.hardware == ETHERNET { 0xff } else { 0 }; 6];
        let mtu = (self.mtu as u32).to_ne_bytes();
        let reported: [(u16, &[u8]); 4] =
            [(LINK_NAME, &name), (LINK_MTU, &mtu), (LINK_ADDRESS, &self.mac), (LINK_BROADCAST, &broadcast)];
        report_ready(into, NEW_LINK, flags, question.sequence, &body, &reported);
    }

    /// Appends the addresses of this family, or of both if it is 0.
    fn tell_addresses(&self, question: &Question<'_>, family: u8, into: &mut Vec<u8>) {
        let name = [self.name, b"\0"].concat();
        for (address, prefix) in &self.addresses {
            let scope = match address {
                address if address.is_loopback() => HERE,
                IpAddr::V6(v6) if v6.is_unicast_link_local() => ON_LINK,
                _ => ANYWHERE,
            };
            let own = super::address::Family::of(*address).number() as u8;
            if family != 0 && family != own {
                continue;
            }
            let body = [[own, *prefix, PERMANENT, scope], self.number.to_ne_bytes()].concat();
            match address {
                IpAddr::V4(v4) => {
                    let hosts = u32::MAX.checked_shr((*prefix).into()).unwrap_or(0);
                    let everybody = (v4.to_bits() | hosts).to_be_bytes();
                    let octets = v4.octets();
                    let reported: [(u16, &[u8]); 4] = [
                        (ADDRESS, &octets),
                        (ADDRESS_LOCAL, &octets),
                        (ADDRESS_LABEL, &name),
                        (ADDRESS_BROADCAST, &everybody),
                    ];
                    let count = if scope == HERE { 3 } else { 4 };
                    report_ready(into, NEW_ADDRESS, NLM_F_MULTI, question.sequence, &body, &reported[..count]);
                }
                IpAddr::V6(v6) => {
                    report_ready(into, NEW_ADDRESS, NLM_F_MULTI, question.sequence, &body, &[(ADDRESS, &v6.octets())]);
                }
            }
        }
    }
}

/// Answers one request.
fn answer(interfaces: &[Interface], question: &Question<'_>, into: &mut Vec<u8>) {
    let all = question.flags & NLM_F_DUMP == NLM_F_DUMP;
    let wanted = question.body.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let error = match question.kind {
        GET_LINK if all => {
            interfaces.iter().for_each(|interface| interface.report_ready(question, NLM_F_MULTI, into));
            None
        }
        GET_ADDRESS if all => {
            let family = question.body.first().copied().unwrap_or(0);
            interfaces.iter().for_each(|interface| interface.tell_addresses(question, family, into));
            None
        }
        GET_LINK => match interfaces.iter().find(|interface| Some(interface.number) == wanted) {
            Some(interface) => {
                interface.report_ready(question, 0, into);
                (question.flags & NLM_F_ACK != 0).then_some(0)
            }
            None => Some(Errno::ENODEV.to_result() as i32),
        },
        _ => Some(Errno::EOPNOTSUPP.to_result() as i32),
    };
    match error {
        Some(error) => {
            let body = [&error.to_ne_bytes()[..], question.header].concat();
            report_ready(into, NLMSG_ERROR as u16, 0, question.sequence, &body, &[]);
        }
        None if all => report_ready(into, NLMSG_DONE as u16, NLM_F_MULTI, question.sequence, &[0; 4], &[]),
        None => {}
    }
}

impl Net {
    /// Answers the requests sent by a socket of `AF_NETLINK`.
    pub(super) fn ask_routes(&mut self, files: &mut Files, key: SocketKey, from: Buffers<'_>) -> SyscallResult {
        let length = from.length();
        if length > QUESTION_MAXIMUM {
            return Err(Errno::EMSGSIZE.into());
        }
        let mut asked = Vec::new();
        from.gather(length as usize, &mut asked)?;
        let interfaces = self.interfaces();
        let mut rest = &asked[..];
        while let Some((question, behind)) = question(rest) {
            rest = behind;
            if question.flags & NLM_F_REQUEST == 0 {
                continue;
            }
            let mut reported = Vec::new();
            answer(&interfaces, &question, &mut reported);
            let socket = &mut self.sockets[key];
            if socket.received.length() + reported.len() > socket.options.receive_room as usize {
                return Err(Errno::ENOBUFS.into());
            }
            let mut message = Message::new(Buffers::own(&reported), reported.len())?;
            message.from = Some(Address::Routes(0));
            socket.received.push(&mut files.quota, message)?;
        }
        self.report_ready(files, key, Ready::IN);
        Ok(length)
    }

    /// Returns all interfaces: the loopback, and that of the device.
    fn interfaces(&self) -> Vec<Interface> {
        let loopback = Interface {
            number: 1,
            name: b"lo",
            hardware: LOOPBACK,
            mac: [0; 6],
            mtu: LOOPBACK_MTU,
            addresses: [(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)].into(),
        };
        let device = self.device.as_deref().map(|device| {
            let addresses = device.stack.interface.ip_addrs().iter();
            Interface {
                number: 2,
                name: self.device_name.get(..NAME_MAXIMUM).unwrap_or(self.device_name),
                hardware: ETHERNET,
                mac: device.wire.address(),
                mtu: device.stack.limits.longest.saturating_sub(FRAME_HEADER),
                addresses: addresses.map(|cidr| (cidr.address().into(), cidr.prefix_len())).collect(),
            }
        });
        core::iter::once(loopback).chain(device).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a dump request of this kind.
    fn asked(kind: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        report_ready(&mut bytes, kind, NLM_F_REQUEST | NLM_F_DUMP, 7, &[0; 8], &[]);
        bytes
    }

    #[test]
    fn questions_that_are_cut_off_are_none() {
        let whole = asked(GET_LINK);
        for length in 0..whole.len() {
            assert!(question(&whole[..length]).is_none(), "{length}");
        }
        let mut short = whole;
        short[0] = 3;
        assert!(question(&short).is_none());
    }

    #[test]
    fn each_question_in_a_row_is_answered() {
        let both = [asked(GET_LINK), asked(999)].concat();
        let (first, rest) = question(&both).expect("whole");
        let mut reported = Vec::new();
        answer(&Net::default().interfaces(), &first, &mut reported);
        let (link, done) = question(&reported).expect("an answer");
        assert_eq!((link.kind, link.sequence), (NEW_LINK, 7));
        assert!(link.body.windows(3).any(|bytes| bytes == b"lo\0"));
        assert_eq!(question(done).map(|(done, rest)| (u32::from(done.kind), rest.len())), Some((NLMSG_DONE, 0)));

        let (second, rest) = question(rest).expect("whole");
        assert!(rest.is_empty());
        reported.clear();
        answer(&[], &second, &mut reported);
        let (refusal, _) = question(&reported).expect("an answer");
        assert_eq!(u32::from(refusal.kind), NLMSG_ERROR);
        assert_eq!(refusal.body[..4], (Errno::EOPNOTSUPP.to_result() as i32).to_ne_bytes());
    }
}
