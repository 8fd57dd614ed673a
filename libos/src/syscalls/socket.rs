//! Calls on sockets, but for those that send and receive: see [`super::message`].
//!
//! There are sockets between threads of the program ([`crate::fs::socket`]). Those of a network are another part's
//! ([`crate::fs::foreign`]): its families belong in [`socket`], its branch in each function here and there.

use super::Arguments;
use super::files::{change, descriptor, done, now};
use super::transfer::patiently;
use crate::answer::Answer;
use crate::clock::{SECOND, Timespec};
use crate::errno::Errno;
use crate::fs::socket::name::{self, FAMILY, NAME_MAXIMUM, Name};
use crate::fs::socket::{Style, Takes, Value};
use crate::libos::Libos;
use crate::user::{self, Slice};
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};
use linux_raw_sys::net::*;

/// The flags among the bits of a socket's type: `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const FLAGS: u32 = O_NONBLOCK | O_CLOEXEC;
/// Longest `struct sockaddr` of any family, in bytes.
const ADDRESS_MAXIMUM: u64 = 128;

/// Style and flags of a socket to be made; EAFNOSUPPORT if there are none of its family.
fn kind(family: u64, kind: u64, protocol: u64) -> Result<(Style, u32), Errno> {
    let (kind, flags) = (kind as u32 & !FLAGS, kind as u32 & FLAGS);
    if family as u32 != AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol as u32 != 0 && protocol as u32 != AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok((Style::from_raw(kind)?, flags))
}

/// socket(2).
pub fn socket(libos: &mut Libos, Arguments([family, raw, protocol, ..]): Arguments) -> Answer {
    let (style, flags) = kind(family, raw, protocol)?;
    descriptor(libos.files.open_socket(style, flags, now()))
}

/// socketpair(2).
pub fn socketpair(libos: &mut Libos, Arguments([family, raw, protocol, into, ..]): Arguments) -> Answer {
    let (style, flags) = kind(family, raw, protocol)?;
    Slice::new(into, 8).check()?;
    let (first, second) = change(libos, |files, _| files.socket_pair(style, flags, now()))?;
    done(user::write(into, &[first, second]))
}

/// The name in the `struct sockaddr` of `length` bytes at `address`.
pub fn read_name(address: u64, length: u64) -> Result<Option<Name>, Errno> {
    if length as i32 as i64 > ADDRESS_MAXIMUM as i64 || (length as i32) < FAMILY as i32 {
        return Err(Errno::EINVAL);
    }
    name::parse(&Slice::new(address, u64::from(length as u32)).to_vec()?)
}

/// Writes a name as a `struct sockaddr` to `address`, as much as there is room for; `room` is the address of that, and
/// afterwards of what there would have to be.
pub fn write_name(name: Option<&Name>, address: u64, room: u64) -> Result<(), Errno> {
    let length: i32 = user::read(room)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    user::write(room, &write_name_in(name, address, length as u64)?)
}

/// As [`write_name`], for a room of `length` bytes; tells how much there would have to be.
pub fn write_name_in(name: Option<&Name>, address: u64, length: u64) -> Result<u32, Errno> {
    let (bytes, needed) = name::format(name);
    let shown = bytes.get(..needed.min(length as usize)).unwrap_or_default();
    Slice::new(address, length.min((FAMILY + NAME_MAXIMUM + 1) as u64)).copy_in(shown)?;
    Ok(needed as u32)
}

/// bind(2).
pub fn bind(libos: &mut Libos, Arguments([file, address, length, ..]): Arguments) -> Answer {
    libos.files.socket_node(file as i32)?;
    let name = read_name(address, length)?;
    done(change(libos, |files, _| files.bind(file as i32, name, now())))
}

/// listen(2).
pub fn listen(libos: &mut Libos, Arguments([file, backlog, ..]): Arguments) -> Answer {
    done(change(libos, |files, _| files.listen(file as i32, backlog as i32)))
}

/// connect(2).
pub fn connect(libos: &mut Libos, Arguments([file, address, length, ..]): Arguments) -> Answer {
    libos.files.socket_node(file as i32)?;
    let none = length as usize >= FAMILY && user::read::<u16>(address)? == AF_UNSPEC as u16;
    let name = if none { None } else { read_name(address, length)? };
    let answer = done(change(libos, |files, _| files.connect(file as i32, name, now())));
    patiently(libos, file as i32, true, answer)
}

/// accept4(2).
pub fn accept4(libos: &mut Libos, Arguments([file, address, room, flags, ..]): Arguments) -> Answer {
    if flags as u32 & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    match change(libos, |files, _| files.accept(file as i32, flags as u32)) {
        Ok((accepted, name)) => {
            if address != 0
                && let Err(errno) = write_name(name.as_ref(), address, room)
            {
                change(libos, |files, _| files.close(accepted))?;
                return Err(errno.into());
            }
            Ok(accepted as u64)
        }
        Err(stop) => patiently(libos, file as i32, false, Err(stop)),
    }
}

/// accept(2).
pub fn accept(libos: &mut Libos, Arguments([file, address, room, ..]): Arguments) -> Answer {
    accept4(libos, Arguments([file, address, room, 0, 0, 0]))
}

/// shutdown(2).
pub fn shutdown(libos: &mut Libos, Arguments([file, how, ..]): Arguments) -> Answer {
    done(change(libos, |files, _| files.shut_down(file as i32, how as u32)))
}

/// getsockname(2).
pub fn getsockname(libos: &mut Libos, Arguments([file, address, room, ..]): Arguments) -> Answer {
    let name = libos.files.socket_name(file as i32)?;
    done(write_name(name.as_ref(), address, room))
}

/// getpeername(2).
pub fn getpeername(libos: &mut Libos, Arguments([file, address, room, ..]): Arguments) -> Answer {
    let name = libos.files.peer_name(file as i32)?;
    done(write_name(name.as_ref(), address, room))
}

/// getsockopt(2).
pub fn getsockopt(libos: &mut Libos, Arguments([file, level, number, into, room, _]): Arguments) -> Answer {
    libos.files.socket_node(file as i32)?;
    if level as u32 != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let length = u32::try_from(user::read::<i32>(room)?).map_err(|_| Errno::EINVAL)?;
    let value = libos.files.socket_option(file as i32, number as u32)?;
    let into = Slice::new(into, length.into());
    let copied = match value {
        Value::Number(number) => copy_option(into, &number.to_ne_bytes()),
        Value::Time(ns) => {
            let [seconds, microseconds] = [ns / SECOND, ns % SECOND / 1000].map(u64::to_ne_bytes);
            copy_option(into, &[seconds, microseconds].concat())
        }
        Value::Pair(pair) => copy_option(into, &pair.map(i32::to_ne_bytes).concat()),
        Value::Triple(triple) => copy_option(into, &triple.map(i32::to_ne_bytes).concat()),
    };
    done(user::write(room, &copied?))
}

fn copy_option(into: Slice, bytes: &[u8]) -> Result<u32, Errno> {
    let shown = bytes.get(..into.length as usize).unwrap_or(bytes);
    into.copy_in(shown)?;
    Ok(shown.len() as u32)
}

/// setsockopt(2).
pub fn setsockopt(libos: &mut Libos, Arguments([file, level, number, from, length, _]): Arguments) -> Answer {
    libos.files.socket_node(file as i32)?;
    if level as u32 != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let takes = Value::takes(number as u32)?;
    let size = if takes == Takes::Number {
        4
    } else if takes == Takes::Pair {
        8
    } else {
        16
    };
    if (length as i32) < size {
        return Err(Errno::EINVAL.into());
    }
    let value = match takes {
        Takes::Number => Value::Number(user::read(from)?),
        Takes::Pair => Value::Pair(user::read(from)?),
        Takes::Time => Value::Time(timeout(user::read(from)?)?),
    };
    done(libos.files.set_socket_option(file as i32, number as u32, value))
}

/// A `struct timeval` in nanoseconds.
fn timeout([seconds, microseconds]: Timespec) -> Result<u64, Errno> {
    match (u64::try_from(seconds), u64::try_from(microseconds)) {
        (_, microseconds) if microseconds.is_err() || microseconds.is_ok_and(|us| us >= 1_000_000) => {
            Err(Errno::EINVAL)
        }
        (Ok(seconds), Ok(microseconds)) => Ok(seconds.saturating_mul(SECOND).saturating_add(microseconds * 1000)),
        // As on Linux, a time that is over already is no time at all.
        _ => Ok(1),
    }
}
