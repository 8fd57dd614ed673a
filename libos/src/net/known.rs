//! Options of sockets that are numbers, with their defaults and ranges. Which of them count, and how, is in docs/network.md.

/// Numbers of levels and options: the bindings lack two.
pub(super) mod numbers {
    pub use linux_raw_sys::net::*;
    pub use linux_raw_sys::netlink::{
        NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_DROP_MEMBERSHIP, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK,
        NETLINK_NO_ENOBUFS, NETLINK_PKTINFO,
    };

    /// Bytes of each datagram that a send is split into.
    pub const UDP_SEGMENT: u32 = 103;
    /// A receive may return several datagrams.
    pub const UDP_GRO: u32 = 104;
}

/// An option that is a number.
pub(super) struct Known {
    pub(super) level: u32,
    pub(super) number: u32,
    pub(super) default: i32,
    pub(super) least: i32,
    pub(super) most: i32,
}

/// Declares [`KNOWN`]: for each level, options with their default and the range of their values.
macro_rules! known {
    ($($level:ident { $($number:ident $default:literal in $least:literal $most:expr;)* })*) => {
        /// Table of options that are numbers. For an option with the range 0 to 1, any number other than 0 is stored as 1.
        pub(super) const KNOWN: &[Known] = &[$($(Known {
            level: numbers::$level,
            number: numbers::$number,
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
        SO_TIMESTAMP_OLD 0 in 0 1;
        SO_TIMESTAMPNS_OLD 0 in 0 1;
        SO_TIMESTAMPING_OLD 0 in 0 0x3_ffff;
        SO_TIMESTAMP_NEW 0 in 0 1;
        SO_TIMESTAMPNS_NEW 0 in 0 1;
        SO_TIMESTAMPING_NEW 0 in 0 0x3_ffff;
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
        IP_RECVTTL 0 in 0 1;
        IP_RECVERR 0 in 0 1;
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
        IPV6_RECVHOPLIMIT 0 in 0 1;
        IPV6_RECVERR 0 in 0 1;
        IPV6_DONTFRAG 0 in 0 1;
    }
    SOL_NETLINK {
        NETLINK_ADD_MEMBERSHIP 0 in 0 i32::MAX;
        NETLINK_DROP_MEMBERSHIP 0 in 0 i32::MAX;
        NETLINK_PKTINFO 0 in 0 1;
        NETLINK_NO_ENOBUFS 0 in 0 1;
        NETLINK_CAP_ACK 0 in 0 1;
        NETLINK_EXT_ACK 0 in 0 1;
        NETLINK_GET_STRICT_CHK 0 in 0 1;
    }
    SOL_UDP {
        UDP_SEGMENT 0 in 0 65535;
        UDP_GRO 0 in 0 1;
    }
}

/// Index of an option in [`KNOWN`].
pub(super) fn place(level: u32, number: u32) -> Option<u8> {
    KNOWN.iter().position(|known| (known.level, known.number) == (level, number)).map(|at| at as u8)
}
