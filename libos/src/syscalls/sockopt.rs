//! getsockopt(2) and setsockopt(2).

use super::Arguments;
use super::arguments::done;
use crate::clock::{SECOND, Timespec};
use crate::errno::Errno;
use crate::fs::socket::AnySocket;
use crate::fs::socket::options::{Takes, Value};
use crate::net;
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::user::{self, Slice};
use core::net::{Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net::{SOL_IP, SOL_SOCKET};

/// Highest number of an interface.
const INTERFACES: u32 = 2;

/// getsockopt(2).
pub fn getsockopt(libos: &mut Libos, Arguments([file, level, number, into, room, _]): Arguments) -> SyscallResult {
    let socket = libos.files.socket(file as i32)?;
    let length = u32::try_from(user::read::<i32>(room)?).map_err(|_| Errno::EINVAL)?;
    if let AnySocket::Internet(socket) = socket
        && let Some(bytes) = libos.net.long_option(socket, level as u32, number as u32)
    {
        let copied = copy_option(Slice::new(into, length.into()), &bytes)?;
        return done(user::write(room, &copied));
    }
    let value = match socket {
        AnySocket::Unix(_) if level as u32 != SOL_SOCKET => return Err(Errno::EOPNOTSUPP.into()),
        AnySocket::Unix(_) => libos.files.socket_option(file as i32, number as u32)?,
        AnySocket::Internet(socket) => {
            libos.network(|net, files, _| net.option(files, socket, level as u32, number as u32))?
        }
    };
    let into = Slice::new(into, length.into());
    let copied = match value {
        Value::Number(number) => copy_option(into, &number.to_ne_bytes()),
        Value::Time(ns) => {
            let [seconds, microseconds] = [ns / SECOND, ns % SECOND / 1000].map(u64::to_ne_bytes);
            copy_option(into, &[seconds, microseconds].concat())
        }
        Value::Pair(pair) => copy_option(into, &pair.map(i32::to_ne_bytes).concat()),
        Value::Triple(triple) => copy_option(into, &triple.map(i32::to_ne_bytes).concat()),
        // No option is read with such a value.
        Value::Group(..) | Value::Name(_) => Err(Errno::ENOPROTOOPT),
    };
    done(user::write(room, &copied?))
}

fn copy_option(into: Slice, bytes: &[u8]) -> Result<u32, Errno> {
    let shown = bytes.get(..into.length as usize).unwrap_or(bytes);
    into.copy_in(shown)?;
    Ok(shown.len() as u32)
}

/// setsockopt(2).
pub fn setsockopt(libos: &mut Libos, Arguments([file, level, number, from, length, _]): Arguments) -> SyscallResult {
    let socket = libos.files.socket(file as i32)?;
    let takes = match socket {
        AnySocket::Unix(_) if level as u32 != SOL_SOCKET => return Err(Errno::EOPNOTSUPP.into()),
        AnySocket::Unix(_) => Value::takes(number as u32)?,
        AnySocket::Internet(_) => net::sockopt::takes(level as u32, number as u32)?,
    };
    let size = match takes {
        // Linux accepts a single byte for options of `SOL_IP`.
        Takes::Number if level as u32 == SOL_IP && matches!(length, 1..4) => 1,
        Takes::Number => 4,
        Takes::Pair | Takes::Group => 8,
        Takes::GroupV6 => 20,
        Takes::Time => 16,
        Takes::Name => 0,
    };
    if (length as i32) < size {
        return Err(Errno::EINVAL.into());
    }
    let value = match takes {
        Takes::Number if size == 1 => Value::Number(user::read::<u8>(from)?.into()),
        Takes::Number => Value::Number(user::read(from)?),
        Takes::Pair => Value::Pair(user::read(from)?),
        Takes::Name => Value::Name(name(Slice::new(from, length))?),
        Takes::Time => Value::Time(timeout(user::read(from)?)?),
        Takes::Group => {
            let [group, interface]: [[u8; 4]; 2] = user::read(from)?;
            let interface = Ipv4Addr::from(interface);
            Value::Group(Ipv4Addr::from(group).into(), (!interface.is_unspecified()).then_some(interface.into()))
        }
        Takes::GroupV6 => {
            let (group, interface): ([u8; 16], u32) = (user::read(from)?, user::read(from.wrapping_add(16))?);
            if interface > INTERFACES {
                return Err(Errno::ENODEV.into());
            }
            Value::Group(Ipv6Addr::from(group).into(), None)
        }
    };
    done(match socket {
        AnySocket::Unix(_) => libos.files.set_socket_option(file as i32, number as u32, value),
        AnySocket::Internet(socket) => {
            libos.network(|net, files, _| net.set_option(files, socket, level as u32, number as u32, value))
        }
    })
}

/// Reads a name of at most 15 bytes.
fn name(from: Slice) -> Result<[u8; 16], Errno> {
    let mut name = [0; 16];
    let from = from.first(15);
    from.copy_out(&mut name[..from.length as usize])?;
    Ok(name)
}

/// Converts a `struct timeval` to nanoseconds.
fn timeout([seconds, microseconds]: Timespec) -> Result<u64, Errno> {
    match (u64::try_from(seconds), u64::try_from(microseconds)) {
        (_, microseconds) if microseconds.is_err() || microseconds.is_ok_and(|us| us >= 1_000_000) => {
            Err(Errno::EINVAL)
        }
        (Ok(seconds), Ok(microseconds)) => Ok(seconds.saturating_mul(SECOND).saturating_add(microseconds * 1000)),
        // A negative time expires at once, as on Linux.
        _ => Ok(1),
    }
}
