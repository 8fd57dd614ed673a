//! Datagrams that a call sends or receives several at a time: `UDP_SEGMENT` splits what is sent into datagrams of one length, and
//! `UDP_GRO` joins those that arrive in a row from one sender.

use super::known::numbers;
use super::{Net, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::socket::address::{Address, Arrival};
use crate::fs::socket::queue::Message;
use core::net::SocketAddr;
use husk::internet::datagrams::Marks;

/// Most datagrams of one call; Linux's.
const MAXIMUM: u64 = 64;
/// Most bytes of datagrams that are joined.
const JOINED_MAXIMUM: usize = 65_507;
/// Bytes of the headers of a datagram.
const HEADERS: u64 = 20 + 8;
const HEADERS_V6: u64 = 40 + 8;

/// A send of datagrams: where from and to, in which parts, and with which headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispatch {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// Bytes of each datagram, if it is several.
    pub(super) segment: Option<u64>,
    pub(super) marks: Marks,
    pub(super) nonblocking: bool,
}

/// Checks the length of the datagrams that `length` bytes to `to` are split into, with packets of at most `mtu` bytes. Returns
/// `None` for a single datagram.
pub(super) fn check(segment: u16, length: u64, to: &SocketAddr, mtu: u64) -> Result<Option<u64>, Errno> {
    let headers = if to.is_ipv4() { HEADERS } else { HEADERS_V6 };
    match u64::from(segment) {
        0 => Ok(None),
        segment if segment.min(length) + headers > mtu || length > segment * MAXIMUM => Err(Errno::EINVAL),
        segment => Ok((length > segment).then_some(segment)),
    }
}

/// Returns the parts of `bytes` that are datagrams, with their lengths: all at once without a `segment`.
pub(super) fn parts(bytes: Buffers<'_>, segment: Option<u64>) -> impl Iterator<Item = (Buffers<'_>, usize)> {
    let length = bytes.length();
    let segment = segment.unwrap_or(length).max(1);
    let count = length.div_ceil(segment).max(1);
    (0..count).map(move |at| (bytes.after(at * segment), (length - at * segment).min(segment) as usize))
}

impl Net {
    /// Puts datagrams of the program itself into a socket's queue: as they were sent if it joins datagrams, or one by one.
    pub(super) fn deliver_parts(
        &mut self,
        files: &mut Files,
        receiver: SocketKey,
        bytes: Buffers<'_>,
        segment: Option<u64>,
        (from, arrival): (SocketAddr, Arrival),
    ) -> Result<(), Errno> {
        if self.sockets[receiver].options.is_set(numbers::SOL_UDP, numbers::UDP_GRO) {
            let arrival = Arrival { segment: segment.unwrap_or(0) as u16, ..arrival };
            return self.deliver(files, receiver, (bytes, bytes.length() as usize), from, arrival);
        }
        parts(bytes, segment).try_for_each(|part| self.deliver(files, receiver, part, from, arrival))
    }

    /// Appends a datagram that has arrived by the device to the last one in a socket's queue, if the socket joins datagrams and
    /// they fit together. Returns true if so.
    pub(super) fn join_datagram(
        &mut self,
        files: &mut Files,
        receiver: SocketKey,
        (bytes, length): (Buffers<'_>, usize),
        from: SocketAddr,
        arrival: Arrival,
    ) -> Result<bool, Errno> {
        let socket = &mut self.sockets[receiver];
        if !socket.options.is_set(numbers::SOL_UDP, numbers::UDP_GRO) || socket.received.is_empty() {
            return Ok(false);
        }
        let from = Address::Internet(socket.family.shown(from));
        let joins = |last: &mut Message, before: usize| {
            let Some(first) = &mut last.arrival else { return false };
            let segment = if first.segment == 0 { before } else { usize::from(first.segment) };
            let single = Arrival { segment: first.segment, time_ns: first.time_ns, ..arrival };
            let fits = (1..=segment).contains(&length) && before.is_multiple_of(segment);
            let joins = fits && before / segment < MAXIMUM as usize && before + length <= JOINED_MAXIMUM;
            if !joins || *first != single || last.from.as_ref() != Some(&from) {
                return false;
            }
            first.segment = segment as u16;
            true
        };
        socket.received.extend(&mut files.quota, bytes, length, joins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_what_is_left() {
        let bytes = [7; 10];
        let lengths = |segment| parts(Buffers::own(&bytes), segment).map(|(_, length)| length).collect::<Vec<_>>();
        assert_eq!(lengths(Some(4)), [4, 4, 2]);
        assert_eq!(lengths(Some(5)), [5, 5]);
        assert_eq!(lengths(None), [10]);
        assert_eq!(parts(Buffers::own(&[]), Some(3)).count(), 1);
        assert!(parts(Buffers::own(&bytes), Some(4)).all(|(part, length)| part.length() >= length as u64));
    }

    #[test]
    fn too_long_and_too_many_parts_are_refused() {
        let to = "10.0.0.1:9".parse().expect("an address");
        assert_eq!(check(1472, 64 * 1472, &to, 1500), Ok(Some(1472)));
        assert_eq!(check(1472, 1472, &to, 1500), Ok(None));
        assert_eq!(check(0, 9999, &to, 1500), Ok(None));
        for refused in [(1473, 1473), (1, 65)] {
            assert_eq!(check(refused.0, refused.1, &to, 1500), Err(Errno::EINVAL));
        }
    }
}
