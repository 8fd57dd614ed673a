//! Options of sockets: those of the level `SOL_SOCKET` that have a meaning between threads, or that programs set without
//! checking.

use crate::errno::Errno;
use core::net::IpAddr;
use linux_raw_sys::net;

/// Options of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) receive_timeout_ns: u64,
    pub(super) send_timeout_ns: u64,
    pub(super) pass_credentials: bool,
    pub(super) reuse_address: bool,
    pub(super) keep_alive: bool,
    pub(super) broadcast: bool,
    pub(super) linger: [i32; 2],
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i32),
    /// A time in nanoseconds; 0 for ever.
    Time(u64),
    /// Two numbers.
    Pair([i32; 2]),
    /// Three numbers.
    Triple([i32; 3]),
    /// Multicast group of the internet families, and the address of the interface by which it is joined, or any.
    Group(IpAddr, Option<IpAddr>),
    /// A name, with zeros behind it.
    Name([u8; 16]),
}

/// Kind of value that setsockopt(2) takes for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A number.
    Number,
    /// A `struct timeval`.
    Time,
    /// Two numbers.
    Pair,
    /// A `struct ip_mreq`.
    Group,
    /// A `struct ipv6_mreq`.
    GroupV6,
    /// A name of at most 15 bytes.
    Name,
}

impl Value {
    /// Kind of value that an option takes; ENOPROTOOPT if it cannot be set.
    pub fn takes(number: u32) -> Result<Takes, Errno> {
        match number {
            net::SO_REUSEADDR | net::SO_KEEPALIVE | net::SO_BROADCAST | net::SO_PASSCRED => Ok(Takes::Number),
            net::SO_RCVBUF | net::SO_SNDBUF | net::SO_PRIORITY | net::SO_REUSEPORT => Ok(Takes::Number),
            net::SO_RCVTIMEO_OLD | net::SO_SNDTIMEO_OLD => Ok(Takes::Time),
            net::SO_LINGER => Ok(Takes::Pair),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}
