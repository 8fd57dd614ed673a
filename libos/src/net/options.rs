//! Options of a socket. Most are numbers that are only stored: they concern packets, and there are none within the program.

use super::Protocol;
use super::known::numbers as net;
use super::known::{KNOWN, place};
use crate::errno::Errno;
use crate::fs::socket::address::Posting;
use alloc::vec::Vec;
use core::net::IpAddr;
use husk::internet::connection::Connection;
use husk::internet::datagrams::Marks;
use husk::internet::patience::{KeepAlive, Patience};
use smoltcp::time::Duration;

/// Bytes that wait in a stream for its reader (Linux's default), and bytes that its writer may send beyond them without being
/// read (of Linux's range, more than a program notices).
const STREAM: u32 = 131_072;
/// Bytes of datagrams that wait in a socket; Linux's default.
const DATAGRAMS: u32 = 212_992;

/// Value that Linux takes as "the default", for options of sockets and of IP that are not just 0 or 1.
const DEFAULT: i32 = -1;

/// Options by which a program asks for the times at which datagrams arrive: as microseconds and nanoseconds, each in both of
/// Linux's numberings; and that for times of several clocks.
const STAMPS: [u32; 4] =
    [net::SO_TIMESTAMP_OLD, net::SO_TIMESTAMP_NEW, net::SO_TIMESTAMPNS_OLD, net::SO_TIMESTAMPNS_NEW];
const STAMPINGS: [u32; 2] = [net::SO_TIMESTAMPING_OLD, net::SO_TIMESTAMPING_NEW];

/// Options of a socket.
#[derive(Debug)]
pub(super) struct Options {
    /// Indices in [`KNOWN`], and values, of options that differ from their default.
    numbers: Vec<(u8, i32)>,
    /// Most bytes that may wait to be read (`SO_RCVBUF`).
    pub(super) receive_room: u32,
    /// Bytes that may be sent without being read, beyond the receiver's room (`SO_SNDBUF`).
    pub(super) send_room: u32,
    /// Seconds that close(2) may wait (`SO_LINGER`); at 0, close(2) resets the connection.
    pub(super) linger: Option<u32>,
    /// Longest wait of a call to receive or to send, in nanoseconds (`SO_RCVTIMEO`, `SO_SNDTIMEO`); 0 for no end.
    pub(super) receive_timeout_ns: u64,
    pub(super) send_timeout_ns: u64,
    /// Number of the interface that the socket is restricted to (`SO_BINDTODEVICE`); 0 for none.
    pub(super) interface: u32,
}

impl Options {
    pub(super) fn new(protocol: Protocol) -> Self {
        let room = if protocol == Protocol::Tcp { STREAM } else { DATAGRAMS };
        Self {
            numbers: Vec::new(),
            receive_room: room,
            send_room: room,
            linger: None,
            receive_timeout_ns: 0,
            send_timeout_ns: 0,
            interface: 0,
        }
    }

    /// Returns the options that a connection inherits from its listener.
    pub(super) fn try_clone(&self) -> Result<Self, Errno> {
        let mut numbers = Vec::new();
        numbers.try_reserve_exact(self.numbers.len()).map_err(|_| Errno::ENOMEM)?;
        numbers.extend_from_slice(&self.numbers);
        Ok(Self { numbers, ..*self })
    }

    /// Value of an option, by its index in [`KNOWN`].
    pub(super) fn number(&self, place: u8) -> i32 {
        let set = self.numbers.iter().find(|(at, _)| *at == place);
        set.map(|(_, number)| *number).or(KNOWN.get(usize::from(place)).map(|known| known.default)).unwrap_or(0)
    }

    /// Sets an option, by its index in [`KNOWN`]; EINVAL for a value out of its range.
    pub(super) fn set_number(&mut self, place: u8, to: i32) -> Result<(), Errno> {
        let known = KNOWN.get(usize::from(place)).ok_or(Errno::ENOPROTOOPT)?;
        let to = match to {
            to if (known.least, known.most) == (0, 1) => i32::from(to != 0),
            DEFAULT if ![net::SOL_TCP, net::SOL_UDP].contains(&known.level) => known.default,
            to if (known.least..=known.most).contains(&to) => to,
            _ => return Err(Errno::EINVAL),
        };
        // Of the forms of time stamps, the last one set counts.
        if known.level == net::SOL_SOCKET && STAMPS.contains(&known.number) {
            let other = |at: u8| KNOWN.get(usize::from(at)).is_some_and(|other| STAMPS.contains(&other.number));
            self.numbers.retain(|(at, _)| !other(*at));
        }
        self.numbers.retain(|(at, _)| *at != place);
        if to != known.default {
            self.numbers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.numbers.push((place, to));
        }
        Ok(())
    }

    pub(super) fn is_set(&self, level: u32, number: u32) -> bool {
        !self.numbers.is_empty() && place(level, number).is_some_and(|place| self.number(place) != 0)
    }

    /// Returns true if an IPv6 socket is restricted to IPv6 (`IPV6_V6ONLY`).
    pub(super) fn is_only_v6(&self) -> bool {
        self.is_set(net::SOL_IPV6, net::IPV6_V6ONLY)
    }

    /// Returns true with `SO_REUSEADDR`: the address is shared with other such sockets that do not listen.
    pub(super) fn shares_address(&self) -> bool {
        self.is_set(net::SOL_SOCKET, net::SO_REUSEADDR)
    }

    /// Returns true with `SO_REUSEPORT`: the port is shared with other such sockets.
    pub(super) fn shares_port(&self) -> bool {
        self.is_set(net::SOL_SOCKET, net::SO_REUSEPORT)
    }

    /// Returns true if the socket may send broadcasts.
    pub(super) fn may_broadcast(&self) -> bool {
        self.is_set(net::SOL_SOCKET, net::SO_BROADCAST)
    }

    /// Returns true if the socket may be bound to a foreign address (`IP_FREEBIND`).
    pub(super) fn binds_freely(&self) -> bool {
        self.is_set(net::SOL_IP, net::IP_FREEBIND) || self.is_set(net::SOL_IPV6, net::IPV6_FREEBIND)
    }

    /// Traffic class of packets sent (`IP_TOS`, `IPV6_TCLASS`).
    pub(super) fn class(&self, v6: bool) -> u8 {
        self.number_at(net::IP_TOS, net::IPV6_TCLASS, v6) as u8
    }

    /// Returns true with `IP_MULTICAST_ALL`: datagrams arrive also for groups that only other sockets of the program have
    /// joined.
    pub(super) fn hears_all_groups(&self, v6: bool) -> bool {
        self.number_at(net::IP_MULTICAST_ALL, net::IPV6_MULTICAST_ALL, v6) != 0
    }

    /// Returns true with `IP_MULTICAST_LOOP`: datagrams to a group are delivered to its members in the program.
    pub(super) fn hears_itself(&self, v6: bool) -> bool {
        self.number_at(net::IP_MULTICAST_LOOP, net::IPV6_MULTICAST_LOOP, v6) != 0
    }

    /// Hop limit of packets to groups.
    pub(super) fn group_hops(&self, v6: bool) -> u8 {
        self.number_at(net::IP_MULTICAST_TTL, net::IPV6_MULTICAST_HOPS, v6) as u8
    }

    /// Value of the IPv4 option, or of the IPv6 one.
    fn number_at(&self, number: u32, number_v6: u32, v6: bool) -> i32 {
        let (level, number) = if v6 { (net::SOL_IPV6, number_v6) } else { (net::SOL_IP, number) };
        place(level, number).map_or(0, |place| self.number(place))
    }

    /// Returns true unless `TCP_NODELAY` is set: small segments may wait for more data (Nagle).
    fn delays_small(&self) -> bool {
        !self.is_set(net::SOL_TCP, net::TCP_NODELAY)
    }

    /// Hop limit of packets, if the program has set it.
    fn hop_limit(&self, v6: bool) -> Option<u8> {
        let set = |level, number| {
            let place = place(level, number)?;
            let set = self.numbers.iter().find(|(at, _)| *at == place);
            set.and_then(|(_, hops)| u8::try_from(*hops).ok())
        };
        if v6 { set(net::SOL_IPV6, net::IPV6_UNICAST_HOPS) } else { set(net::SOL_IP, net::IP_TTL) }
    }

    /// Fields of the header of a datagram to `to` that a send may choose.
    pub(super) fn marks(&self, posting: &Posting, to: IpAddr) -> Marks {
        let v6 = to.is_ipv6();
        let hops = if to.is_multicast() { Some(self.group_hops(v6)) } else { self.hop_limit(v6) };
        Marks { hops: posting.hops.or(hops), class: posting.class.unwrap_or_else(|| self.class(v6)) }
    }

    /// Bytes of each datagram that a send is split into (`UDP_SEGMENT`); 0 for a single one.
    pub(super) fn segment(&self) -> u16 {
        self.number_of(net::SOL_UDP, net::UDP_SEGMENT) as u16
    }

    /// The option by which a program has asked for the times of arrival, if it has.
    pub(super) fn time_stamps(&self) -> Option<u32> {
        if self.numbers.is_empty() {
            return None;
        }
        STAMPS.into_iter().chain(STAMPINGS).find(|number| self.number_of(net::SOL_SOCKET, *number) != 0)
    }

    /// Value of the option with this number.
    pub(super) fn number_of(&self, level: u32, number: u32) -> i32 {
        place(level, number).map_or(0, |place| self.number(place))
    }

    /// Timeouts, and probes of an idle peer.
    fn patience(&self) -> Patience {
        let seconds = |number| Duration::from_secs(self.number_of(net::SOL_TCP, number).max(0) as u64);
        let keep_alive = self.is_set(net::SOL_SOCKET, net::SO_KEEPALIVE).then(|| KeepAlive {
            idle: seconds(net::TCP_KEEPIDLE),
            interval: seconds(net::TCP_KEEPINTVL),
            count: self.number_of(net::SOL_TCP, net::TCP_KEEPCNT) as u32,
        });
        let opening = Patience::of_retransmissions(self.number_of(net::SOL_TCP, net::TCP_SYNCNT) as u32);
        match self.number_of(net::SOL_TCP, net::TCP_USER_TIMEOUT) {
            0 => Patience { opening, keep_alive, ..Patience::default() },
            limit => {
                let limit = Duration::from_millis(limit.max(0) as u64);
                Patience { opening: opening.min(limit), unacknowledged: limit, keep_alive }
            }
        }
    }

    /// Applies the options that concern packets to a connection, at `now` in nanoseconds.
    pub(super) fn apply(&self, connection: &mut Connection, now: u64) {
        let v6 = connection.ends().1.is_ipv6();
        connection.set_timeouts(self.patience(), now);
        let tcp = connection.tcp();
        tcp.set_nagle_enabled(self.delays_small());
        tcp.set_hop_limit(self.hop_limit(v6));
    }
}
