//! Calls on sockets, except for those that send and receive: see [`super::message`].
//!
//! Sockets between threads of the program ([`crate::fs::socket`]) belong to the files, those of the internet families to
//! [`crate::net`].

use super::arguments::{descriptor, done};
use super::transfer::patiently;
use super::{Arguments, address};
use crate::errno::Errno;
use crate::fs::socket::address::Address;
use crate::fs::socket::{AnySocket, Style};
use crate::net::Protocol;
use crate::net::address::Family;
use crate::process::PROCESS;
use crate::state::{Libos, now};
use crate::syscall_result::SyscallResult;
use crate::user::{self, Slice};
use core::net::SocketAddr;
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};
use linux_raw_sys::net::*;
use linux_raw_sys::netlink::NETLINK_ROUTE;

/// Flags in the `type` argument: `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const FLAGS: u32 = O_NONBLOCK | O_CLOEXEC;

/// Splits the `type` argument into kind and flags.
fn split(raw: u64) -> (u32, u32) {
    (raw as u32 & !FLAGS, raw as u32 & FLAGS)
}

/// Style of a new socket of `AF_UNIX`.
fn style(kind: u32, protocol: u64) -> Result<Style, Errno> {
    if protocol as u32 != 0 && protocol as u32 != AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Style::from_raw(kind)
}

/// Protocol of a new socket of the internet families.
fn protocol(kind: u32, protocol: u64) -> Result<Protocol, Errno> {
    match (kind, protocol as u32) {
        (SOCK_STREAM, 0) => Ok(Protocol::Tcp),
        (SOCK_STREAM, protocol) if protocol == IPPROTO_TCP as u32 => Ok(Protocol::Tcp),
        (SOCK_DGRAM, 0) => Ok(Protocol::Udp),
        (SOCK_DGRAM, protocol) if protocol == IPPROTO_UDP as u32 => Ok(Protocol::Udp),
        (SOCK_STREAM | SOCK_DGRAM | SOCK_RAW, _) => Err(Errno::EPROTONOSUPPORT),
        (11.., _) => Err(Errno::EINVAL),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// socket(2).
pub fn socket(libos: &mut Libos, Arguments([family, raw, number, ..]): Arguments) -> SyscallResult {
    let (kind, flags) = split(raw);
    match Family::from_raw(family as u32) {
        Some(family) => {
            let protocol = protocol(kind, number)?;
            descriptor(libos.network(|net, files, _| net.open(files, protocol, family, flags, now())))
        }
        None if family as u32 == AF_NETLINK => match (kind, number as u32) {
            (SOCK_RAW | SOCK_DGRAM, NETLINK_ROUTE) => {
                let opened =
                    libos.network(|net, files, _| net.open(files, Protocol::Udp, Family::Routes, flags, now()));
                descriptor(opened)
            }
            (SOCK_RAW | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT.into()),
            _ => Err(Errno::ESOCKTNOSUPPORT.into()),
        },
        None if family as u32 == AF_UNIX => descriptor(libos.files.open_socket(style(kind, number)?, flags, now())),
        None => Err(Errno::EAFNOSUPPORT.into()),
    }
}

/// socketpair(2).
pub fn socketpair(libos: &mut Libos, Arguments([family, raw, protocol, into, ..]): Arguments) -> SyscallResult {
    let (kind, flags) = split(raw);
    match family as u32 {
        AF_UNIX => {}
        AF_INET | AF_INET6 => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EAFNOSUPPORT.into()),
    }
    let style = style(kind, protocol)?;
    Slice::new(into, 8).check()?;
    let (first, second) = libos.change(|files, _| files.socket_pair(style, flags, now()))?;
    done(user::write(into, &[first, second]))
}

/// bind(2).
pub fn bind(libos: &mut Libos, Arguments([file, address, length, ..]): Arguments) -> SyscallResult {
    match libos.files.socket(file as i32)? {
        AnySocket::Unix(_) => {
            let name = address::read_name(address, length)?;
            done(libos.change(|files, _| files.bind(file as i32, name, now())))
        }
        AnySocket::Internet(socket) => {
            let to = address::read_internet(&libos.net, socket, address, length)?;
            done(libos.network(|net, _, devices| net.bind(devices, socket, to)))
        }
    }
}

/// listen(2).
pub fn listen(libos: &mut Libos, Arguments([file, backlog, ..]): Arguments) -> SyscallResult {
    done(match libos.files.socket(file as i32)? {
        AnySocket::Unix(_) => libos.change(|files, _| files.listen(file as i32, backlog as i32)),
        AnySocket::Internet(socket) => {
            libos.network(|net, files, devices| net.listen(files, devices, socket, backlog as i32))
        }
    })
}

/// connect(2).
pub fn connect(libos: &mut Libos, Arguments([file, address, length, ..]): Arguments) -> SyscallResult {
    let none = address::is_unspecified(address, length);
    let answer = match libos.files.socket(file as i32)? {
        AnySocket::Unix(_) => {
            let name = if none? { None } else { address::read_name(address, length)? };
            done(libos.change(|files, _| files.connect(file as i32, name, now())))
        }
        AnySocket::Internet(socket) => {
            let nonblocking = libos.files.description(file as i32)?.is_nonblocking();
            let to = if none? { None } else { Some(address::read_internet(&libos.net, socket, address, length)?) };
            // connect(2) on a datagram socket to an IPv6 address is how getaddrinfo(3) checks for a route, so it does not wait
            // for an address.
            let waits = |to: &SocketAddr| to.is_ipv4() || libos.net.is_stream(socket);
            if let Some(to) = to.filter(waits) {
                libos.change(|files, outside| outside.until_addressed(files, Some(to.ip())))?;
            }
            done(libos.network(|net, files, devices| net.connect(files, devices, socket, to, nonblocking)))
        }
    };
    patiently(libos, file as i32, true, answer)
}

/// accept4(2).
pub fn accept4(libos: &mut Libos, Arguments([file, address, room, flags, ..]): Arguments) -> SyscallResult {
    let (file, flags) = (file as i32, flags as u32);
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let accepted = match libos.files.socket(file)? {
        AnySocket::Unix(_) => {
            let accepted = libos.change(|files, _| files.accept(file, flags));
            accepted.map(|(accepted, name)| (accepted, name.map(Address::Unix)))
        }
        AnySocket::Internet(socket) => {
            let nonblocking = libos.files.description(file)?.is_nonblocking();
            let accepted = libos.network(|net, files, _| net.accept(files, socket, flags, nonblocking, now()));
            accepted.map(|(accepted, from)| (accepted, Some(Address::Internet(from))))
        }
    };
    match accepted {
        Ok((accepted, name)) => {
            if address != 0
                && let Err(errno) = address::write(name.as_ref(), address, room)
            {
                libos.change(|files, _| files.close(accepted))?;
                return Err(errno.into());
            }
            Ok(accepted as u64)
        }
        Err(stop) => patiently(libos, file, false, Err(stop)),
    }
}

/// accept(2).
pub fn accept(libos: &mut Libos, Arguments([file, address, room, ..]): Arguments) -> SyscallResult {
    accept4(libos, Arguments([file, address, room, 0, 0, 0]))
}

/// shutdown(2).
pub fn shutdown(libos: &mut Libos, Arguments([file, how, ..]): Arguments) -> SyscallResult {
    done(match libos.files.socket(file as i32)? {
        AnySocket::Unix(_) => libos.change(|files, _| files.shut_down(file as i32, how as u32)),
        AnySocket::Internet(socket) => libos.network(|net, files, _| net.shut_down(files, socket, how as u32)),
    })
}

/// getsockname(2).
pub fn getsockname(libos: &mut Libos, Arguments([file, address, room, ..]): Arguments) -> SyscallResult {
    let name = match libos.files.socket(file as i32)? {
        AnySocket::Unix(_) => libos.files.socket_name(file as i32)?.map(Address::Unix),
        AnySocket::Internet(socket) if libos.net.family(socket) == Family::Routes => Some(Address::Routes(PROCESS)),
        AnySocket::Internet(socket) => Some(Address::Internet(libos.net.name(socket))),
    };
    done(address::write(name.as_ref(), address, room))
}

/// getpeername(2).
pub fn getpeername(libos: &mut Libos, Arguments([file, address, room, ..]): Arguments) -> SyscallResult {
    let name = match libos.files.socket(file as i32)? {
        AnySocket::Unix(_) => libos.files.peer_name(file as i32)?.map(Address::Unix),
        AnySocket::Internet(socket) => Some(Address::Internet(libos.net.peer_name(socket)?)),
    };
    done(address::write(name.as_ref(), address, room))
}
