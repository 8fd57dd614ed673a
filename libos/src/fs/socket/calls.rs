//! Calls that make sockets, and those about their options and names.

use super::name::Name;
use super::options::Value;
use super::queue::CAPACITY;
use super::{Socket, Style};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::handle::NodeKey;
use crate::fs::inode::Time;
use crate::process::PROCESS;
use linux_raw_sys::{general as linux, net};

impl Files {
    /// socket(2), with `SOCK_NONBLOCK` and `SOCK_CLOEXEC` as flags of open(2).
    pub fn open_socket(&mut self, style: Style, flags: u32, now: Time) -> Result<i32, Errno> {
        let node = self.add_socket(Socket::new(style), now)?;
        self.open_node(node, linux::O_RDWR | flags)
    }

    /// socketpair(2).
    pub fn socket_pair(&mut self, style: Style, flags: u32, now: Time) -> Result<(i32, i32), Errno> {
        let first = self.open_socket(style, flags, now)?;
        let second = self.open_socket(style, flags, now).inspect_err(|_| {
            let _ = self.close(first);
        })?;
        let ends = [self.socket_node(first)?, self.socket_node(second)?];
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (peer, credentials) = (Some(self.reference(other)), Some(self.caller.effective));
            let socket = self.unix_mut(end)?;
            (socket.peer, socket.credentials) = (peer, credentials);
        }
        Ok((first, second))
    }

    /// Inode of the socket behind a descriptor; ENOTSOCK for another file.
    pub fn socket_node(&self, descriptor: i32) -> Result<NodeKey, Errno> {
        let node = self.node(descriptor)?;
        self.unix(node).map(|_| node)
    }

    /// Returns true if a descriptor is a stream socket, which has no message boundaries.
    pub fn is_stream(&self, descriptor: i32) -> bool {
        self.node(descriptor).and_then(|node| self.unix(node)).is_ok_and(|socket| socket.style == Style::Stream)
    }

    /// getsockopt(2). `SO_ERROR` returns an error once.
    pub fn socket_option(&mut self, descriptor: i32, number: u32) -> Result<Value, Errno> {
        let node = self.socket_node(descriptor)?;
        let socket = self.unix_mut(node)?;
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
        let options = &mut self.unix_mut(node)?.options;
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
            .and_then(|node| self.unix(node))
            .is_ok_and(|socket| socket.options.pass_credentials)
    }

    /// Longest wait of a call on a socket to receive or to send, in nanoseconds.
    pub fn socket_timeout(&self, descriptor: i32, to_send: bool) -> Option<u64> {
        let options = self.unix(self.node(descriptor).ok()?).ok()?.options;
        let timeout_ns = if to_send { options.send_timeout_ns } else { options.receive_timeout_ns };
        (timeout_ns != 0).then_some(timeout_ns)
    }

    /// getsockname(2).
    pub fn socket_name(&self, descriptor: i32) -> Result<Option<Name>, Errno> {
        Ok(self.unix(self.socket_node(descriptor)?)?.name.clone())
    }

    /// getpeername(2).
    pub fn peer_name(&self, descriptor: i32) -> Result<Option<Name>, Errno> {
        let socket = self.unix(self.socket_node(descriptor)?)?;
        if socket.peer.is_some() { Ok(socket.peer_name.clone()) } else { Err(Errno::ENOTCONN) }
    }
}

/// Process, user and group of the peer: the program itself.
fn credentials(socket: &Socket) -> [i32; 3] {
    socket.credentials.map_or([0, -1, -1], |(user, group)| [PROCESS as i32, user as i32, group as i32])
}
