//! getsockopt(2) and setsockopt(2).

use super::address::Family;
use super::control::{DEVICE, LOOPBACK};
use super::known::{numbers as net, place};
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::ready::Ready;
use crate::fs::socket::options::{Takes, Value};
use core::net::IpAddr;

/// The smallest buffer to receive and to send that a program can set, and the largest of both without privileges, in bytes;
/// Linux's.
const RECEIVE_LEAST: i32 = 2304;
const SEND_LEAST: i32 = 4608;
const ROOM_MOST: i32 = 212_992;
/// Times of sent packets, of `SO_TIMESTAMPING`: by the device, when they are queued, and when they are acknowledged.
const TIMES_SENT: i32 = 2 | 256 | 512;

/// Kind of value that setsockopt(2) takes for an option; ENOPROTOOPT if it cannot be set.
pub fn takes(level: u32, number: u32) -> Result<Takes, Errno> {
    match (level, number) {
        (net::SOL_SOCKET, net::SO_RCVTIMEO_OLD | net::SO_SNDTIMEO_OLD) => Ok(Takes::Time),
        (net::SOL_SOCKET, net::SO_LINGER) => Ok(Takes::Pair),
        (net::SOL_SOCKET, net::SO_RCVBUF | net::SO_SNDBUF) => Ok(Takes::Number),
        (net::SOL_SOCKET, net::SO_RCVBUFFORCE | net::SO_SNDBUFFORCE) => Ok(Takes::Number),
        (net::SOL_IP, net::IP_ADD_MEMBERSHIP | net::IP_DROP_MEMBERSHIP) => Ok(Takes::Group),
        (net::SOL_SOCKET, net::SO_BINDTODEVICE) | (net::SOL_TCP, net::TCP_CONGESTION) => Ok(Takes::Name),
        (net::SOL_IPV6, net::IPV6_ADD_MEMBERSHIP | net::IPV6_DROP_MEMBERSHIP) => Ok(Takes::GroupV6),
        _ if place(level, number).is_some() => Ok(Takes::Number),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

impl Net {
    /// getsockopt(2). `SO_ERROR` returns an error once.
    pub fn option(&mut self, files: &mut Files, key: SocketKey, level: u32, number: u32) -> Result<Value, Errno> {
        self.check_level(key, level).map_err(|errno| match self.sockets[key].family {
            // As Linux says it, for questions.
            Family::V4 => Errno::EOPNOTSUPP,
            _ => errno,
        })?;
        if let Some(place) = place(level, number) {
            let socket = &self.sockets[key];
            let of_connection = (level, number) == (net::SOL_TCP, net::TCP_MAXSEG) && socket.remote.is_some();
            let segment = socket.segment_length().filter(|_| of_connection);
            return Ok(Value::Number(segment.unwrap_or(socket.options.number(place))));
        }
        if level != net::SOL_SOCKET {
            return self.path_option(key, level, number);
        }
        let socket = &mut self.sockets[key];
        let options = &socket.options;
        let number = match (number, socket.protocol) {
            (net::SO_TYPE, Protocol::Tcp) => net::SOCK_STREAM as i32,
            (net::SO_TYPE, Protocol::Udp) => net::SOCK_DGRAM as i32,
            (net::SO_PROTOCOL, Protocol::Tcp) => net::IPPROTO_TCP as i32,
            (net::SO_PROTOCOL, Protocol::Udp) if socket.family == Family::Routes => 0,
            (net::SO_PROTOCOL, Protocol::Udp) => net::IPPROTO_UDP as i32,
            (net::SO_DOMAIN, _) => socket.family.number() as i32,
            (net::SO_ACCEPTCONN, _) => matches!(socket.state, State::Listening(_)).into(),
            (net::SO_RCVLOWAT | net::SO_SNDLOWAT, _) => 1,
            (net::SO_RCVBUF, _) => options.receive_room as i32,
            (net::SO_SNDBUF, _) => options.send_room as i32,
            (net::SO_RCVTIMEO_OLD, _) => return Ok(Value::Time(options.receive_timeout_ns)),
            (net::SO_SNDTIMEO_OLD, _) => return Ok(Value::Time(options.send_timeout_ns)),
            (net::SO_LINGER, _) => {
                return Ok(Value::Pair([options.linger.is_some().into(), options.linger.unwrap_or(0) as i32]));
            }
            (net::SO_ERROR, _) => {
                let error = socket.error.take().map_or(0, |errno| -errno.to_result() as i32);
                self.report_ready(files, key, Ready::empty());
                error
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(Value::Number(number))
    }

    /// setsockopt(2), with a value of the kind that [`takes`] returns.
    pub fn set_option(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        level: u32,
        number: u32,
        value: Value,
    ) -> Result<(), Errno> {
        self.check_level(key, level)?;
        if let Value::Group(group, interface) = value {
            return match number {
                net::IP_ADD_MEMBERSHIP | net::IPV6_ADD_MEMBERSHIP => self.join_group(key, group, interface),
                _ => self.leave_group(key, group),
            };
        }
        if let Value::Name(name) = value {
            return self.set_name(key, number, name);
        }
        let socket = &mut self.sockets[key];
        let options = &mut socket.options;
        // Doubled, as on Linux, which counts its bookkeeping, too.
        let room = |bytes: i32, most: i32, least: i32| (bytes.clamp(0, most) * 2).max(least) as u32;
        match (level, number, value) {
            (net::SOL_SOCKET, net::SO_RCVBUF, Value::Number(to)) => {
                options.receive_room = room(to, ROOM_MOST, RECEIVE_LEAST)
            }
            (net::SOL_SOCKET, net::SO_RCVBUFFORCE, Value::Number(to)) => {
                options.receive_room = room(to, i32::MAX / 2, RECEIVE_LEAST)
            }
            (net::SOL_SOCKET, net::SO_SNDBUF, Value::Number(to)) => options.send_room = room(to, ROOM_MOST, SEND_LEAST),
            (net::SOL_SOCKET, net::SO_SNDBUFFORCE, Value::Number(to)) => {
                options.send_room = room(to, i32::MAX / 2, SEND_LEAST)
            }
            (net::SOL_SOCKET, net::SO_TIMESTAMPING_OLD | net::SO_TIMESTAMPING_NEW, Value::Number(to))
                if to & TIMES_SENT != 0 =>
            {
                return Err(Errno::EOPNOTSUPP);
            }
            (net::SOL_SOCKET, net::SO_RCVTIMEO_OLD, Value::Time(ns)) => options.receive_timeout_ns = ns,
            (net::SOL_SOCKET, net::SO_SNDTIMEO_OLD, Value::Time(ns)) => options.send_timeout_ns = ns,
            (net::SOL_SOCKET, net::SO_LINGER, Value::Pair([on, seconds])) => {
                options.linger = (on != 0).then_some(seconds.max(0) as u32);
            }
            (net::SOL_IPV6, net::IPV6_V6ONLY, _) if socket.local.is_some() => return Err(Errno::EINVAL),
            (_, _, Value::Number(to)) => options.set_number(place(level, number).ok_or(Errno::ENOPROTOOPT)?, to)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        let Socket { state, options, .. } = socket;
        if let State::Remote { connection, .. } = state {
            options.apply(connection, husk::clock::monotonic_ns());
        }
        self.report_ready(files, key, Ready::empty());
        Ok(())
    }

    /// getsockopt(2) of a fact about the path to the peer: `IP_MTU`, `IPV6_MTU`.
    fn path_option(&self, key: SocketKey, level: u32, number: u32) -> Result<Value, Errno> {
        match (level, number, self.sockets[key].remote) {
            (net::SOL_IP, net::IP_MTU, Some(to)) | (net::SOL_IPV6, net::IPV6_MTU, Some(to)) => {
                Ok(Value::Number(self.mtu(to.ip()) as i32))
            }
            (net::SOL_IP, net::IP_MTU, None) | (net::SOL_IPV6, net::IPV6_MTU, None) => Err(Errno::ENOTCONN),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// Returns true unless the socket is restricted to the interface that packets from or to this address do not take.
    pub(super) fn is_through(&self, socket: &Socket, other: IpAddr) -> bool {
        let interface = if self.is_local(other) { LOOPBACK } else { DEVICE };
        [0, interface].contains(&socket.options.interface)
    }

    /// ENOPROTOOPT if sockets of this kind have no options of this level.
    fn check_level(&self, key: SocketKey, level: u32) -> Result<(), Errno> {
        let socket = &self.sockets[key];
        match level {
            net::SOL_TCP if socket.protocol != Protocol::Tcp => Err(Errno::ENOPROTOOPT),
            net::SOL_NETLINK if socket.family != Family::Routes => Err(Errno::ENOPROTOOPT),
            net::SOL_UDP if socket.protocol != Protocol::Udp => Err(Errno::ENOPROTOOPT),
            net::SOL_IPV6 if socket.family.any().is_ipv4() => Err(Errno::ENOPROTOOPT),
            _ => Ok(()),
        }
    }

    /// Longest wait of a call on a socket to receive or to send, in nanoseconds (`SO_RCVTIMEO`, `SO_SNDTIMEO`).
    pub fn timeout(&self, key: SocketKey, to_send: bool) -> Option<u64> {
        let options = &self.sockets[key].options;
        let timeout_ns = if to_send { options.send_timeout_ns } else { options.receive_timeout_ns };
        (timeout_ns != 0).then_some(timeout_ns)
    }
}
