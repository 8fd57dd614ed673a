//! Sockets of `AF_NETLINK` that list the network interfaces and their addresses: rtnetlink(7), as far as getifaddrs(3) and
//! if_nameindex(3) use it. They are datagrams: a send is a request, and the answer is received.

use super::address::Family;
use super::destinations::{self, Route};
use super::known::numbers as net;
use super::links::{self, ETHERNET, Interface, LOOPBACK};
use super::messages::{Question, append, question};
use super::{Net, SocketKey, neighbours};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::ready::Ready;
use crate::fs::socket::address::Address;
use crate::fs::socket::queue::Message;
use crate::syscall_result::SyscallResult;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use husk::abi::device::FRAME_HEADER;
use husk::internet::stack::{Neighbour, Stack};
use linux_raw_sys::netlink::{
    NLM_F_ACK, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
};

// Kinds of requests: rtnetlink(7).
const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const GET_NEIGHBOUR: u16 = 30;
/// The first kind that is not the same for each family of `AF_NETLINK`, and the last one of rtnetlink(7).
const GENERAL: u16 = 16;
const LAST: u16 = 123;
/// MTU of the loopback; Linux's.
const LOOPBACK_MTU: usize = 65_536;

/// Longest request, in bytes.
const QUESTION_MAXIMUM: u64 = 4096;
/// Bytes that a message counts as besides its own, in the receiver's room.
const OVERHEAD: usize = 512;

/// What answers are made of.
struct Facts<'a> {
    interfaces: &'a [Interface],
    routes: &'a [Route],
    stack: Option<&'a Stack>,
    now: u64,
    /// True if requests for addresses name the interface that they mean (`NETLINK_GET_STRICT_CHK`).
    is_strict: bool,
    /// True if no answer is to quote a whole request (`NETLINK_CAP_ACK`).
    is_capped: bool,
}

impl Facts<'_> {
    fn neighbours(&self) -> impl Iterator<Item = Neighbour> {
        self.stack.into_iter().flat_map(|stack| stack.neighbours(self.now))
    }

    /// Appends all that a request asks for, with an end.
    fn append_all(&self, question: &Question<'_>, into: &mut Vec<u8>) -> Result<(), Errno> {
        let mut interfaces = self.interfaces.iter();
        match question.kind {
            GET_LINK => interfaces.try_for_each(|interface| interface.append(question, NLM_F_MULTI, into))?,
            GET_ADDRESS => {
                let wanted = question.number().filter(|number| self.is_strict && *number != 0);
                let interfaces = interfaces.filter(|one| wanted.is_none_or(|number| number == one.number));
                [Family::V4, Family::V6].into_iter().try_for_each(|family| {
                    interfaces.clone().try_for_each(|interface| interface.append_addresses(question, family, into))
                })?;
            }
            GET_ROUTE => destinations::append_all(self.routes, question, into)?,
            GET_NEIGHBOUR => neighbours::append_all(self.neighbours(), self.interfaces, question, into)?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        append(into, question, NLMSG_DONE as u16, NLM_F_MULTI, &[&[0; 4]], &[])
    }

    /// Appends the one thing that a request asks for.
    fn append_one(&self, question: &Question<'_>, into: &mut Vec<u8>) -> Result<(), Errno> {
        let source = |to| self.stack.and_then(|stack| stack.source(to));
        match question.kind {
            GET_LINK => links::append_one(self.interfaces, question, into),
            GET_ADDRESS => links::append_one_address(self.interfaces, question, into),
            GET_ROUTE => destinations::append_one(self.routes, question, source, into),
            GET_NEIGHBOUR => neighbours::append_one(self.neighbours(), self.interfaces, question, into),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// Answers one request. An error is that of the answer's memory; any other is reported in the answer.
fn answer(facts: &Facts<'_>, question: &Question<'_>, into: &mut Vec<u8>) -> Result<(), Errno> {
    // Of the four requests about a thing, the third one only asks.
    let is_change = question.kind % 4 != 2;
    let is_request = question.flags & NLM_F_REQUEST != 0 && question.kind >= GENERAL;
    let answered = match question.kind {
        _ if !is_request => Ok(()),
        kind if kind > LAST => Err(Errno::EOPNOTSUPP),
        // Without a family, the request is none.
        _ if question.body.is_empty() => Ok(()),
        _ if is_change => Err(Errno::EPERM),
        _ if question.flags & NLM_F_DUMP != 0 => {
            let answered = facts.append_all(question, into);
            if answered.is_ok() {
                return Ok(());
            }
            answered
        }
        _ => facts.append_one(question, into),
    };
    let (number, whole): (i32, &[u8]) = match answered {
        Ok(()) if question.flags & NLM_F_ACK == 0 => return Ok(()),
        Ok(()) => (0, question.header),
        Err(Errno::ENOMEM) => return Err(Errno::ENOMEM),
        Err(errno) if facts.is_capped => (errno.to_result() as i32, question.header),
        Err(errno) => (errno.to_result() as i32, question.whole),
    };
    let flags = if number == 0 || facts.is_capped { NLM_F_CAPPED } else { 0 };
    append(into, question, NLMSG_ERROR as u16, flags, &[&number.to_ne_bytes(), whole], &[])
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
        let interfaces = self.interfaces()?;
        let Self { sockets, device, .. } = self;
        let stack = device.as_deref().map(|device| &device.stack);
        let is_set = |option| sockets[key].options.is_set(net::SOL_NETLINK, option);
        let facts = Facts {
            interfaces: &interfaces,
            routes: &destinations::list(&interfaces, stack.map_or([None; 2], |stack| stack.routers()))?,
            stack,
            now: husk::clock::monotonic_ns(),
            is_strict: is_set(net::NETLINK_GET_STRICT_CHK),
            is_capped: is_set(net::NETLINK_CAP_ACK),
        };
        let reports_loss = !is_set(net::NETLINK_NO_ENOBUFS);
        let mut rest = &asked[..];
        while let Some((question, behind)) = question(rest) {
            rest = behind;
            let mut reported = Vec::new();
            answer(&facts, &question, &mut reported)?;
            if reported.is_empty() {
                continue;
            }
            let socket = &mut sockets[key];
            let waiting = socket.received.length() + socket.received.count() * OVERHEAD;
            if waiting >= socket.options.receive_room as usize {
                // As on Linux: the answers are lost, and the next receive says so.
                socket.error = reports_loss.then_some(Errno::ENOBUFS).or(socket.error);
                break;
            }
            let mut message = Message::new(Buffers::own(&reported), reported.len())?;
            message.from = Some(Address::Routes(0));
            socket.received.push(&mut files.quota, message)?;
        }
        self.report_ready(files, key, Ready::IN);
        Ok(length)
    }

    /// Returns all interfaces: the loopback, and that of the device.
    pub(super) fn interfaces(&self) -> Result<Vec<Interface>, Errno> {
        let own = [(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        let mut interfaces = Vec::new();
        interfaces.try_reserve_exact(2).map_err(|_| Errno::ENOMEM)?;
        interfaces.push(Interface::new(1, b"lo", (LOOPBACK, [0; 6], LOOPBACK_MTU), own.into_iter())?);
        if let Some(device) = self.device.as_deref() {
            let addresses = device.stack.interface.ip_addrs().iter();
            let addresses = addresses.map(|cidr| (cidr.address().into(), cidr.prefix_len()));
            let mtu = device.stack.limits.longest.saturating_sub(FRAME_HEADER);
            let hardware = (ETHERNET, device.wire.address(), mtu);
            interfaces.push(Interface::new(2, self.device_name, hardware, addresses)?);
        }
        Ok(interfaces)
    }
}

#[cfg(test)]
mod tests {
    use super::links::NEW_LINK;
    use super::*;

    /// Returns a dump request of this kind.
    fn asked(kind: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (length, flags) = (24u32, (NLM_F_REQUEST | NLM_F_DUMP) as u16);
        bytes.extend([&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[7, 0, 0, 0]].concat());
        bytes.resize(length as usize, 0);
        bytes
    }

    fn facts(interfaces: &[Interface]) -> Facts<'_> {
        Facts { interfaces, routes: &[], stack: None, now: 0, is_strict: false, is_capped: false }
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
        let interfaces = Net::default().interfaces().expect("memory");
        answer(&facts(&interfaces), &first, &mut reported).expect("memory");
        let (link, done) = question(&reported).expect("an answer");
        assert_eq!((link.kind, link.sequence), (NEW_LINK, 7));
        assert!(link.body.windows(3).any(|bytes| bytes == b"lo\0"));
        assert_eq!(question(done).map(|(done, rest)| (u32::from(done.kind), rest.len())), Some((NLMSG_DONE, 0)));

        let (second, rest) = question(rest).expect("whole");
        assert!(rest.is_empty());
        reported.clear();
        answer(&facts(&[]), &second, &mut reported).expect("memory");
        let (refusal, _) = question(&reported).expect("an answer");
        assert_eq!(u32::from(refusal.kind), NLMSG_ERROR);
        assert_eq!(refusal.body[..4], (Errno::EOPNOTSUPP.to_result() as i32).to_ne_bytes());
    }
}
