//! Options of a socket. Most are numbers that are only stored: they concern packets, and there are none within the program.

use super::Protocol;
use crate::errno::Errno;
use alloc::vec::Vec;
use husk::internet::connection::Connection;
use linux_raw_sys::net;
use smoltcp::time::Duration;

/// Bytes that wait in a stream for its reader (Linux's default), and bytes that its writer may send beyond them without being
/// read (of Linux's range, more than a program notices).
const STREAM: u32 = 131_072;
/// Bytes of datagrams that wait in a socket; Linux's default.
const DATAGRAMS: u32 = 212_992;
/// An option that is a number.
struct Known {
    level: u32,
    number: u32,
    default: i32,
    least: i32,
    most: i32,
}

/// Declares [`KNOWN`]: for each level, options with their default and the range of their values.
macro_rules! known {
    ($($level:ident { $($number:ident $default:literal in $least:literal $most:expr;)* })*) => {
        /// Table of options that are numbers. For an option with the range 0 to 1, any number other than 0 is stored as 1.
        const KNOWN: &[Known] = &[$($(Known {
            level: net::$level,
            number: net::$number,
            default: $default,
            least: $least,
            most: $most,
        },)*)*];
    };
}

known! {
    SOL_SOCKET {
        SO_REUSEADDR 0 in 0 1;
        SO_REUSEPORT 0 in 0 1;
        SO_KEEPALIVE 0 in 0 1;
        SO_BROADCAST 0 in 0 1;
        SO_OOBINLINE 0 in 0 1;
        SO_DONTROUTE 0 in 0 1;
        SO_PRIORITY 0 in 0 6;
        SO_MARK 0 in 0 i32::MAX;
    }
    SOL_TCP {
        TCP_NODELAY 0 in 0 1;
        TCP_MAXSEG 536 in 88 32767;
        TCP_CORK 0 in 0 1;
        TCP_KEEPIDLE 7200 in 1 32767;
        TCP_KEEPINTVL 75 in 1 32767;
        TCP_KEEPCNT 9 in 1 127;
        TCP_SYNCNT 6 in 1 127;
        TCP_LINGER2 60 in -1 120;
        TCP_DEFER_ACCEPT 0 in 0 i32::MAX;
        TCP_QUICKACK 1 in 0 1;
        TCP_USER_TIMEOUT 0 in 0 i32::MAX;
        TCP_FASTOPEN 0 in 0 i32::MAX;
        TCP_FASTOPEN_CONNECT 0 in 0 1;
        TCP_NOTSENT_LOWAT 0 in -1 i32::MAX;
        TCP_THIN_LINEAR_TIMEOUTS 0 in 0 1;
    }
    SOL_IP {
        IP_TOS 0 in 0 255;
        IP_TTL 64 in 1 255;
        IP_MULTICAST_TTL 1 in 0 255;
        IP_MULTICAST_LOOP 1 in 0 1;
        IP_MULTICAST_ALL 1 in 0 1;
        IP_MULTICAST_IF 0 in -2_147_483_648 i32::MAX;
        IP_MTU_DISCOVER 1 in 0 5;
        IP_FREEBIND 0 in 0 1;
        IP_PKTINFO 0 in 0 1;
        IP_RECVTOS 0 in 0 1;
        IP_BIND_ADDRESS_NO_PORT 0 in 0 1;
    }
    SOL_IPV6 {
        IPV6_V6ONLY 0 in 0 1;
        IPV6_UNICAST_HOPS 64 in 0 255;
        IPV6_MULTICAST_HOPS 1 in 0 255;
        IPV6_MULTICAST_LOOP 1 in 0 1;
        IPV6_MULTICAST_ALL 1 in 0 1;
        IPV6_MULTICAST_IF 0 in 0 i32::MAX;
        IPV6_MTU_DISCOVER 1 in 0 5;
        IPV6_TCLASS 0 in 0 255;
        IPV6_FREEBIND 0 in 0 1;
        IPV6_RECVPKTINFO 0 in 0 1;
        IPV6_RECVTCLASS 0 in 0 1;
    }
}

/// Value that Linux takes as "the default", for options outside `SOL_TCP` that are not just 0 or 1.
const DEFAULT: i32 = -1;

/// Index of an option in [`KNOWN`].
pub(super) fn place(level: u32, number: u32) -> Option<u8> {
    KNOWN.iter().position(|known| (known.level, known.number) == (level, number)).map(|at| at as u8)
}

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
            DEFAULT if known.level != net::SOL_TCP => known.default,
            to if (known.least..=known.most).contains(&to) => to,
            _ => return Err(Errno::EINVAL),
        };
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

    /// Seconds of silence after which a keep-alive probe is sent, with `SO_KEEPALIVE`.
    fn keep_alive_interval(&self) -> Option<u32> {
        let asks = self.is_set(net::SOL_SOCKET, net::SO_KEEPALIVE);
        let seconds = place(net::SOL_TCP, net::TCP_KEEPIDLE).map(|place| self.number(place) as u32);
        seconds.filter(|_| asks)
    }

    /// Hop limit of packets, if the program has set it.
    pub(super) fn hop_limit(&self) -> Option<u8> {
        let place = place(net::SOL_IP, net::IP_TTL)?;
        let set = self.numbers.iter().find(|(at, _)| *at == place);
        set.and_then(|(_, hops)| u8::try_from(*hops).ok())
    }

    /// Applies the options that concern packets to a connection.
    pub(super) fn apply(&self, connection: &mut Connection) {
        let tcp = connection.tcp();
        tcp.set_nagle_enabled(self.delays_small());
        tcp.set_keep_alive(self.keep_alive_interval().map(|seconds| Duration::from_secs(seconds.into())));
        tcp.set_hop_limit(self.hop_limit());
    }
}
