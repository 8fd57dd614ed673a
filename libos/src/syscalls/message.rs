//! Calls that send and receive on sockets.

use super::ancillary::Sent;
use super::arguments::each_slice;
use super::transfer::{patiently, whole};
use super::{Arguments, address, ancillary};
use crate::errno::Errno;
use crate::fs::buffers::Buffers;
use crate::fs::layout::MessageHeader;
use crate::fs::socket::AnySocket;
use crate::fs::socket::address::Address;
use crate::fs::socket::queue::Envelope;
use crate::fs::socket::transfer::Sending;
use crate::process::PROCESS;
use crate::state::Libos;
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::{self, Slice};
use alloc::vec::Vec;
use linux_raw_sys::net::*;

/// Bytes of a `struct mmsghdr`: a `struct msghdr`, and a length of 32 bits, padded.
const ENTRY: u64 = size_of::<MessageHeader>() as u64 + 8;
/// `MSG_WAITFORONE`, which the bindings lack.
const WAIT_FOR_ONE: u64 = 0x10000;
/// Most messages of one call.
const MESSAGES_MAXIMUM: u64 = 1024;

/// sendto(2).
pub fn sendto(libos: &mut Libos, Arguments([file, from, length, flags, to, room]): Arguments) -> SyscallResult {
    let socket = libos.files.socket(file as i32)?;
    let to = if to == 0 { None } else { address::read(&libos.net, socket, to, room)? };
    send(libos, file as i32, &[Slice::new(from, length)], Sending { to, ..Sending::default() }, flags as u32)
}

/// sendmsg(2).
pub fn sendmsg(libos: &mut Libos, Arguments([file, message, flags, ..]): Arguments) -> SyscallResult {
    let header: MessageHeader = user::read(message)?;
    let slices = each_slice(header.vectors, header.count)?;
    let to = if header.name == 0 || header.name_length == 0 {
        None
    } else {
        address::read(&libos.net, libos.files.socket(file as i32)?, header.name, header.name_length.into())?
    };
    let is_internet = matches!(libos.files.socket(file as i32)?, AnySocket::Internet(_));
    let Sent { rights, posting } = ancillary::read(Slice::new(header.control, header.control_length), is_internet)?;
    send(libos, file as i32, &slices, Sending { to, posting, rights, nonblocking: false }, flags as u32)
}

fn send(libos: &mut Libos, file: i32, slices: &[Slice], sending: Sending, flags: u32) -> SyscallResult {
    libos.files.socket(file)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let sending = Sending { nonblocking: flags & MSG_DONTWAIT != 0, ..sending };
    whole(libos, file, Buffers::new(slices, 0).length(), flags & MSG_NOSIGNAL == 0, |files, outside, done| {
        files.send_message(outside, file, Buffers::new(slices, done), &sending)
    })
}

/// recvfrom(2).
pub fn recvfrom(libos: &mut Libos, Arguments([file, into, length, flags, from, room]): Arguments) -> SyscallResult {
    let mut envelope = Envelope::default();
    let count = receive(libos, file as i32, &[Slice::new(into, length)], flags as u32, &mut envelope)?;
    if !envelope.rights.is_empty() {
        libos.change(|files, _| files.take_rights(envelope.rights, 0, false));
    }
    if from != 0 {
        match &envelope.from {
            Some(address) => address::write(Some(address), from, room)?,
            None => user::write(room, &0u32)?,
        }
    }
    Ok(if flags as u32 & MSG_TRUNC != 0 { envelope.length.max(count) } else { count })
}

/// recvmsg(2).
pub fn recvmsg(libos: &mut Libos, Arguments([file, message, flags, ..]): Arguments) -> SyscallResult {
    let header: MessageHeader = user::read(message)?;
    let slices = each_slice(header.vectors, header.count)?;
    let mut envelope = Envelope::default();
    let count = receive(libos, file as i32, &slices, flags as u32, &mut envelope)?;
    let mut told = 0;
    if envelope.length > count {
        told |= MSG_TRUNC;
    }
    let mut control = Slice::new(header.control, header.control_length);
    if libos.files.passes_credentials(file as i32) {
        let (user, group) = envelope.credentials;
        let credentials = [PROCESS, user, group].map(u32::to_ne_bytes).concat();
        told |= ancillary::add(&mut control, SOL_SOCKET, SCM_CREDENTIALS, &credentials)?;
    }
    if !envelope.rights.is_empty() {
        let room = control.length.saturating_sub(ancillary::CONTROL) as usize / 4;
        told |= if envelope.rights.len() > room { MSG_CTRUNC } else { 0 };
        let close_on_exec = flags as u32 & MSG_CMSG_CLOEXEC != 0;
        let given = libos.change(|files, _| files.take_rights(envelope.rights, room, close_on_exec));
        if !given.is_empty() {
            let bytes: Vec<u8> = given.iter().flat_map(|descriptor| descriptor.to_ne_bytes()).collect();
            told |= ancillary::add(&mut control, SOL_SOCKET, SCM_RIGHTS, &bytes)?;
        }
    }
    if let Ok(AnySocket::Internet(socket)) = libos.files.socket(file as i32) {
        for part in libos.net.control(socket, envelope.arrival) {
            told |= ancillary::add(&mut control, part.level, part.kind, &part.data)?;
        }
    }
    if let Some(failure) = &envelope.failure {
        told |= MSG_ERRQUEUE | ancillary::add(&mut control, failure.level, failure.kind, &failure.data)?;
    }
    let name_length = match (&envelope.from, header.name) {
        (Some(address), into) if into != 0 => address::write_in(Some(address), into, header.name_length.into())?,
        _ => 0,
    };
    let control_length = header.control_length - control.length;
    user::write(message, &MessageHeader { name_length, control_length, flags: told, ..header })?;
    Ok(if flags as u32 & MSG_TRUNC != 0 { envelope.length.max(count) } else { count })
}

/// Receives on a socket. Returns the number of bytes.
fn receive(libos: &mut Libos, file: i32, slices: &[Slice], flags: u32, envelope: &mut Envelope) -> SyscallResult {
    let socket = libos.files.socket(file)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (peek, nonblocking) = (flags & MSG_PEEK != 0, flags & MSG_DONTWAIT != 0);
    if flags & MSG_ERRQUEUE != 0
        && let AnySocket::Internet(socket) = socket
    {
        let failure = libos.network(|net, files, _| net.take_failure(files, socket)).ok_or(Errno::EAGAIN)?;
        let family = libos.net.family(socket);
        envelope.from = Some(Address::Internet(family.shown(failure.to)));
        envelope.length = failure.bytes.len() as u64;
        envelope.failure = Some(failure.control(family));
        return Ok(Buffers::new(slices, 0).scatter(0, &failure.bytes)? as u64);
    }
    let stream = match socket {
        AnySocket::Unix(_) => libos.files.is_stream(file),
        AnySocket::Internet(socket) => libos.net.is_stream(socket),
    };
    let all = flags & MSG_WAITALL != 0 && !peek && stream;
    let length = Buffers::new(slices, 0).length();
    let mut done = libos.threads.current().progress;
    loop {
        let into = Buffers::new(slices, done);
        match libos.change(|files, outside| files.receive_message(outside, file, into, peek, nonblocking, envelope)) {
            Ok(count) => {
                done += count;
                if !all || count == 0 || done >= length || !envelope.rights.is_empty() {
                    return Ok(done);
                }
            }
            Err(stop @ Stop::Block(_)) => {
                libos.threads.current().progress = done;
                return patiently(libos, file, false, Err(stop));
            }
            Err(_) if done > 0 => return Ok(done),
            Err(stop) => return Err(stop),
        }
    }
}

/// sendmmsg(2).
pub fn sendmmsg(libos: &mut Libos, Arguments([file, entries, count, flags, ..]): Arguments) -> SyscallResult {
    each_message(entries, count, |entry| sendmsg(libos, Arguments([file, entry, flags, 0, 0, 0])))
}

/// recvmmsg(2). It waits for the first message only, up to the socket's timeout.
pub fn recvmmsg(libos: &mut Libos, Arguments([file, entries, count, flags, ..]): Arguments) -> SyscallResult {
    let mut flags = flags & !WAIT_FOR_ONE;
    each_message(entries, count, |entry| {
        let answer = recvmsg(libos, Arguments([file, entry, flags, 0, 0, 0]));
        flags |= u64::from(MSG_DONTWAIT);
        answer
    })
}

/// Makes a call for each `struct mmsghdr`, until one fails; its error is the result only if it is the first.
fn each_message(entries: u64, count: u64, mut call: impl FnMut(u64) -> SyscallResult) -> SyscallResult {
    let mut done = 0;
    for entry in user::entries(entries, ENTRY, count.min(MESSAGES_MAXIMUM)) {
        match call(entry) {
            Ok(length) => user::write(entry.wrapping_add(size_of::<MessageHeader>() as u64), &(length as u32))?,
            Err(_) if done > 0 => break,
            Err(stop) => return Err(stop),
        }
        done += 1;
    }
    Ok(done)
}
