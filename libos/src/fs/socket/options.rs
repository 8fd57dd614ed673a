//! Options of sockets: those of the level `SOL_SOCKET` that have a meaning between threads, or that programs set without
//! checking.

use super::queue::CAPACITY;
use super::{Files, Socket};
use crate::errno::Errno;
use crate::process::PROCESS;
use core::net::IpAddr;
use linux_raw_sys::net;

/// Options of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    receive_timeout_ns: u64,
    send_timeout_ns: u64,
    pass_credentials: bool,
    reuse_address: bool,
    keep_alive: bool,
    broadcast: bool,
    linger: [i32; 2],
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

impl Files {
    /// getsockopt(2). `SO_ERROR` returns an error once.
    pub fn socket_option(&mut self, descriptor: i32, number: u32) -> Result<Value, Errno> {
        let node = self.socket_node(descriptor)?;
        let socket = self.socket_mut(node)?;
        let options = socket.options;
        let number = match number {
            net::SO_TYPE => socket.style.number() as i32,
            net::SO_DOMAIN => net::AF_UNIX as i32,
            net::SO_PROTOCOL | net::SO_PRIORITY | net::SO_REUSEPORT | net::SO_OOBINLINE => 0,
            net::SO_ERROR => socket.error.take().map_or(0, |errno| -errno.to_result() as i32),
            net::SO_RCVBUF | net::SO_SNDBUF => CAPACITY as i32,
            net::SO_REUSEADDR => options.reuse_address.into(),
            net::SO_KEEPALIVE => options.keep_alive.into(),
            net::SO_BROADCAST => options.broadcast.into(),
            net::SO_PASSCRED => options.pass_credentials.into(),
            net::SO_ACCEPTCONN => socket.listener.is_some().into(),
            net::SO_RCVTIMEO_OLD => return Ok(Value::Time(options.receive_timeout_ns)),
            net::SO_SNDTIMEO_OLD => return Ok(Value::Time(options.send_timeout_ns)),
            net::SO_LINGER => return Ok(Value::Pair(options.linger)),
            net::SO_PEERCRED => return Ok(Value::Triple(credentials(socket))),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(Value::Number(number))
    }

    /// setsockopt(2), with a value of the kind that [`Value::takes`] returns.
    pub fn set_socket_option(&mut self, descriptor: i32, number: u32, value: Value) -> Result<(), Errno> {
        let node = self.socket_node(descriptor)?;
        let options = &mut self.socket_mut(node)?.options;
        match (number, value) {
            (net::SO_REUSEADDR, Value::Number(to)) => options.reuse_address = to != 0,
            (net::SO_KEEPALIVE, Value::Number(to)) => options.keep_alive = to != 0,
            (net::SO_BROADCAST, Value::Number(to)) => options.broadcast = to != 0,
            (net::SO_PASSCRED, Value::Number(to)) => options.pass_credentials = to != 0,
            (net::SO_RCVTIMEO_OLD, Value::Time(ns)) => options.receive_timeout_ns = ns,
            (net::SO_SNDTIMEO_OLD, Value::Time(ns)) => options.send_timeout_ns = ns,
            (net::SO_LINGER, Value::Pair(to)) => options.linger = to,
            // The size of buffers is fixed.
            _ => {}
        }
        Ok(())
    }

    /// Returns true if received messages carry the sender's credentials (`SO_PASSCRED`).
    pub fn passes_credentials(&self, descriptor: i32) -> bool {
        self.socket_node(descriptor)
            .and_then(|node| self.socket(node))
            .is_ok_and(|socket| socket.options.pass_credentials)
    }

    /// Longest wait of a call on a socket to receive or to send, in nanoseconds.
    pub fn socket_timeout(&self, descriptor: i32, to_send: bool) -> Option<u64> {
        let options = self.socket(self.node(descriptor).ok()?).ok()?.options;
        let timeout_ns = if to_send { options.send_timeout_ns } else { options.receive_timeout_ns };
        (timeout_ns != 0).then_some(timeout_ns)
    }
}

/// Process, user and group of the peer: the program itself, which is root.
fn credentials(socket: &Socket) -> [i32; 3] {
    if socket.peer.is_some() { [PROCESS as i32, 0, 0] } else { [0, -1, -1] }
}
