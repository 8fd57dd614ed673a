//! Errors that the network reports about what was sent: what they mean, and the queue of those that a program reads with their
//! details (`IP_RECVERR`, `MSG_ERRQUEUE`).

use super::address::{self, Family};
use super::known::numbers as net;
use super::{Net, Socket, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::ready::Ready;
use crate::fs::socket::queue::Control;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use husk::internet::report::{self, Reason};

/// Errors that wait in a socket, the oldest first. A socket without any has no such queue.
pub(super) type Failures = VecDeque<Failure>;

/// Most errors that wait in a socket; later ones are lost.
const MAXIMUM: usize = 64;
/// Bytes of a datagram that an error quotes: of a packet of 576 bytes with IPv4, of 1,280 with IPv6.
const QUOTED: usize = 576 - 20 - 8 - 20 - 8;
const QUOTED_V6: usize = 1280 - 40 - 8 - 40 - 8;
/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6`.
const ORIGIN: u8 = 2;
const ORIGIN_V6: u8 = 3;

/// Meaning of ICMP's codes of "destination unreachable", and whether the error is permanent.
const MEANING: [(Errno, bool); 16] = [
    (Errno::ENETUNREACH, false),
    (Errno::EHOSTUNREACH, false),
    (Errno::ENOPROTOOPT, true),
    (Errno::ECONNREFUSED, true),
    (Errno::EMSGSIZE, true),
    (Errno::EOPNOTSUPP, false),
    (Errno::ENETUNREACH, true),
    (Errno::EHOSTDOWN, true),
    (Errno::ENONET, true),
    (Errno::ENETUNREACH, true),
    (Errno::EHOSTUNREACH, true),
    (Errno::ENETUNREACH, false),
    (Errno::EHOSTUNREACH, false),
    (Errno::EHOSTUNREACH, true),
    (Errno::EHOSTUNREACH, true),
    (Errno::EHOSTUNREACH, true),
];
/// Meaning of those of ICMPv6.
const MEANING_V6: [(Errno, bool); 7] = [
    (Errno::ENETUNREACH, false),
    (Errno::EACCES, true),
    (Errno::EHOSTUNREACH, false),
    (Errno::EHOSTUNREACH, false),
    (Errno::ECONNREFUSED, true),
    (Errno::EACCES, true),
    (Errno::EACCES, true),
];

/// An error about a datagram.
#[derive(Debug)]
pub struct Failure {
    /// Destination of the datagram.
    pub to: SocketAddr,
    /// The beginning of its contents.
    pub bytes: Vec<u8>,
    from: IpAddr,
    reason: Reason,
}

/// Returns the error number of an ICMP error, and whether it is permanent.
fn meaning(reason: Reason) -> (Errno, bool) {
    let code = usize::from(reason.code);
    match (reason.is_v4, reason.kind) {
        (true, report::UNREACHABLE) => MEANING.get(code).copied().unwrap_or((Errno::EHOSTUNREACH, true)),
        (false, report::UNREACHABLE_V6) => MEANING_V6.get(code).copied().unwrap_or((Errno::EPROTO, true)),
        (true, report::PARAMETER) | (false, report::PARAMETER_V6) => (Errno::EPROTO, true),
        (false, report::TOO_BIG_V6) => (Errno::EMSGSIZE, true),
        _ => (Errno::EHOSTUNREACH, false),
    }
}

impl Failure {
    /// The `struct sock_extended_err` of the error, with the reporter's address, as a control message for a socket of this family.
    pub fn control(&self, family: Family) -> Control {
        let Reason { is_v4, kind, code, mtu } = self.reason;
        let (errno, _) = meaning(self.reason);
        let number = (-errno.to_result() as u32).to_ne_bytes();
        let origin = if is_v4 { ORIGIN } else { ORIGIN_V6 };
        let (from, length) = address::format(&family.shown(SocketAddr::new(self.from, 0)));
        let data = [&number[..], &[origin, kind, code, 0], &mtu.to_ne_bytes(), &[0; 4], &from[..length]].concat();
        match family {
            Family::V6 => Control { level: net::SOL_IPV6, kind: net::IPV6_RECVERR, data },
            _ => Control { level: net::SOL_IP, kind: net::IP_RECVERR, data },
        }
    }
}

impl Socket {
    /// The error of a connection whose peer could not be reached.
    pub(super) fn unreached(&self) -> Errno {
        let reason = self.connection().and_then(|connection| connection.reason());
        reason.map_or(Errno::EHOSTUNREACH, |reason| meaning(reason).0)
    }
}

impl Net {
    /// Takes an error about a datagram to `to` that a socket has sent. Its next call returns the error if that is permanent and the
    /// socket is connected; or in any case, if the program has asked for errors.
    pub(super) fn fail_datagram(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        to: SocketAddr,
        (from, reason): (IpAddr, Reason),
        bytes: Buffers<'_>,
    ) {
        let socket = &mut self.sockets[key];
        let (errno, is_permanent) = meaning(reason);
        let asked = match reason.is_v4 {
            true => socket.options.is_set(net::SOL_IP, net::IP_RECVERR),
            false => socket.options.is_set(net::SOL_IPV6, net::IPV6_RECVERR),
        };
        if asked {
            // Without memory, the details are lost.
            let _ = socket.keep(Failure { to, bytes: Vec::new(), from, reason }, bytes);
        } else if !is_permanent || socket.remote != Some(to) {
            return;
        }
        socket.error = Some(errno);
        self.report_ready(files, key, Ready::ERROR);
    }

    /// Takes out the oldest error with its details, if there is one. The error that the next call returns is that of the next.
    pub fn take_failure(&mut self, files: &mut Files, key: SocketKey) -> Option<Failure> {
        let socket = &mut self.sockets[key];
        let failure = socket.failures.as_mut()?.pop_front()?;
        socket.failures.take_if(|failures| failures.is_empty());
        socket.error = socket.failures.as_ref().and_then(|left| left.front()).map(|next| meaning(next.reason).0);
        self.report_ready(files, key, Ready::empty());
        Some(failure)
    }
}

impl Socket {
    /// Keeps an error with the beginning of the datagram.
    fn keep(&mut self, mut failure: Failure, bytes: Buffers<'_>) -> Result<(), Errno> {
        let quoted = if failure.reason.is_v4 { QUOTED } else { QUOTED_V6 };
        bytes.gather(quoted.min(bytes.length() as usize), &mut failure.bytes)?;
        let failures = self.failures.get_or_insert_with(|| Box::new(VecDeque::new()));
        if failures.len() < MAXIMUM && failures.try_reserve(1).is_ok() {
            failures.push_back(failure);
        }
        self.failures.take_if(|failures| failures.is_empty());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_number() {
        for (is_v4, kind, code) in (0..=255u8).flat_map(|kind| [(true, kind, kind), (false, kind, 255 - kind)]) {
            let (errno, _) = meaning(Reason { is_v4, kind, code, mtu: 0 });
            assert!(errno.to_result() != 0, "{is_v4} {kind} {code}");
        }
        assert_eq!(meaning(Reason::closed_port(true)), (Errno::ECONNREFUSED, true));
        assert_eq!(meaning(Reason::closed_port(false)), (Errno::ECONNREFUSED, true));
    }
}
