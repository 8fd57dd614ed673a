//! Calls that read and write.
//!
//! A write may have transferred bytes before it waits: the count is kept with the thread while the call is restarted.

use super::arguments::each_slice;
use super::internet::{internet, socket};
use super::{Arguments, disk, message};
use crate::answer::{Answer, Sleep, Stop, Then};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::transfer;
use crate::signals::PIPE;
use crate::state::{Libos, now};
use crate::user::Slice;
use linux_raw_sys::general::*;

/// read(2).
#[inline]
pub fn read(libos: &mut Libos, Arguments([file, into, length, ..]): Arguments) -> Answer {
    let into = Slice::new(into, length);
    let answer = libos.change(|files, devices| files.read(devices, file as i32, None, into, now()));
    match answer {
        Ok(_) => answer,
        Err(stop) => unread(libos, file as i32, into, stop),
    }
}

/// Handles a read that the files refuse: with EINVAL, the file may be one of another part of the libos.
#[cold]
fn unread(libos: &mut Libos, file: i32, into: Slice, stop: Stop) -> Answer {
    if stop == Errno::EINVAL.into() && internet(libos, file).is_some() {
        return message::receive_into(libos, file, &[into]);
    }
    if stop == Errno::EINVAL.into()
        && let Some(disk) = disk::disk(libos, file)
    {
        return disk::read(libos, file, disk, &[into], None);
    }
    if stop == Errno::EINVAL.into()
        && let Ok(Some(handle)) = libos.signal_handle(file)
    {
        return libos.read_signals(file, handle, into);
    }
    patiently(libos, file, false, Err(stop))
}

/// pread64(2).
pub fn pread(libos: &mut Libos, Arguments([file, into, length, offset, ..]): Arguments) -> Answer {
    let (into, at) = (Slice::new(into, length), transfer::offset(offset)?);
    if let Some(disk) = disk::disk(libos, file as i32) {
        return disk::read(libos, file as i32, disk, &[into], Some(at));
    }
    libos.change(|files, devices| files.read(devices, file as i32, Some(at), into, now()))
}

/// write(2).
#[inline]
pub fn write(libos: &mut Libos, Arguments([file, from, length, ..]): Arguments) -> Answer {
    let from = Slice::new(from, length);
    let answer = whole(libos, file as i32, length, |files, devices, done| {
        files.write(devices, file as i32, None, from.after(done), now())
    });
    if answer == Err(Errno::EINVAL.into()) { unwritten(libos, file as i32, from) } else { answer }
}

/// Handles a write that the files refuse with EINVAL: the file may be one of another part of the libos.
#[cold]
fn unwritten(libos: &mut Libos, file: i32, from: Slice) -> Answer {
    match (internet(libos, file), disk::disk(libos, file)) {
        (Some(_), _) => message::send_vectors(libos, file, &[from]),
        (None, Some(disk)) => disk::write(libos, file, disk, &[from], None, 0),
        (None, None) => Err(Errno::EINVAL.into()),
    }
}

/// Repeats a writing call, with the number of bytes written so far, until `length` are written, or it fails. If it waits, the
/// count is kept until it is restarted; if it fails for another reason, the count is the result.
#[inline]
fn whole(
    libos: &mut Libos,
    file: i32,
    length: u64,
    mut call: impl FnMut(&mut Files, &mut dyn Devices, u64) -> Answer,
) -> Answer {
    let mut done = libos.threads.current().progress;
    loop {
        match libos.change(|files, devices| call(files, devices, done)) {
            Ok(count) => {
                done += count;
                if done >= length || count == 0 {
                    return Ok(done);
                }
            }
            Err(stop) => {
                libos.threads.current().progress = done;
                return stopped(libos, file, stop);
            }
        }
    }
}

/// Handles a write that has stopped before its end.
#[cold]
fn stopped(libos: &mut Libos, file: i32, stop: Stop) -> Answer {
    if stop == Errno::EPIPE.into() {
        let thread = libos.threads.current().id;
        libos.signals.send(&mut libos.threads, thread, PIPE)?;
    }
    patiently(libos, file, true, Err(stop))
}

/// Limits the wait of a call on a socket to the socket's timeout.
pub fn patiently(libos: &mut Libos, file: i32, to_send: bool, answer: Answer) -> Answer {
    let timeout_ns = match internet(libos, file) {
        Some(socket) => libos.net.timeout(socket, to_send),
        None => libos.files.socket_timeout(file, to_send),
    };
    match (answer, timeout_ns) {
        (Err(Stop::Sleep(sleep)), Some(timeout_ns)) => {
            let deadline = Some(libos.threads.deadline_in(timeout_ns));
            let expired = Then::Return(Errno::EAGAIN.to_result());
            Err(Stop::Sleep(Sleep { deadline, expired, ..sleep }))
        }
        (answer, _) => answer,
    }
}

/// pwrite64(2).
pub fn pwrite(libos: &mut Libos, Arguments([file, from, length, offset, ..]): Arguments) -> Answer {
    let (from, at) = (Slice::new(from, length), transfer::offset(offset)?);
    if let Some(disk) = disk::disk(libos, file as i32) {
        return disk::write(libos, file as i32, disk, &[from], Some(at), 0);
    }
    libos.change(|files, devices| files.write(devices, file as i32, Some(at), from, now()))
}

/// readv(2). On a socket, fills all buffers from one message; on other files, reads one buffer after the other.
pub fn readv(libos: &mut Libos, Arguments([file, vectors, count, ..]): Arguments) -> Answer {
    if socket(libos, file as i32).is_ok() {
        return message::receive_vectors(libos, file as i32, vectors, count);
    }
    if let Some(disk) = disk::disk(libos, file as i32) {
        return disk::read(libos, file as i32, disk, &each_slice(vectors, count)?, None);
    }
    each_vector(vectors, count, |into, _| read(libos, Arguments([file, into.address, into.length, 0, 0, 0])))
}

/// writev(2). On a socket, sends all buffers as one message; on other files, writes one buffer after the other.
pub fn writev(libos: &mut Libos, Arguments([file, vectors, count, ..]): Arguments) -> Answer {
    let slices = each_slice(vectors, count)?;
    if socket(libos, file as i32).is_ok() {
        return message::send_vectors(libos, file as i32, &slices);
    }
    if let Some(disk) = disk::disk(libos, file as i32) {
        return disk::write(libos, file as i32, disk, &slices, None, 0);
    }
    let length = Buffers::new(&slices, 0).length();
    whole(libos, file as i32, length, |files, devices, done| {
        files.write(devices, file as i32, None, Buffers::new(&slices, done).first(), now())
    })
}

/// preadv(2).
pub fn preadv(libos: &mut Libos, Arguments([file, vectors, count, offset, ..]): Arguments) -> Answer {
    let offset = transfer::offset(offset)?;
    if let Some(disk) = disk::disk(libos, file as i32) {
        return disk::read(libos, file as i32, disk, &each_slice(vectors, count)?, Some(offset));
    }
    each_vector(vectors, count, |into, done| {
        pread(libos, Arguments([file, into.address, into.length, offset.saturating_add(done), 0, 0]))
    })
}

/// pwritev(2).
pub fn pwritev(libos: &mut Libos, Arguments([file, vectors, count, offset, ..]): Arguments) -> Answer {
    let offset = transfer::offset(offset)?;
    if let Some(disk) = disk::disk(libos, file as i32) {
        return disk::write(libos, file as i32, disk, &each_slice(vectors, count)?, Some(offset), 0);
    }
    each_vector(vectors, count, |from, done| {
        pwrite(libos, Arguments([file, from.address, from.length, offset.saturating_add(done), 0, 0]))
    })
}

/// Flags of preadv2(2) and pwritev2(2) that have no effect without a cache.
const HINTS: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC;

/// preadv2(2). Registers four and five are the halves of the offset; the first holds all of it.
pub fn preadv2(libos: &mut Libos, arguments: Arguments) -> Answer {
    let Arguments([.., offset, _, flags]) = arguments;
    match flags as u32 & !HINTS {
        0 if offset == u64::MAX => readv(libos, arguments),
        0 => preadv(libos, arguments),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

/// pwritev2(2).
pub fn pwritev2(libos: &mut Libos, arguments: Arguments) -> Answer {
    let Arguments([file, vectors, count, offset, _, flags]) = arguments;
    if let Some(disk) = disk::disk(libos, file as i32)
        && flags as u32 & (RWF_DSYNC | RWF_SYNC) != 0
    {
        let at = if offset == u64::MAX { None } else { Some(transfer::offset(offset)?) };
        return disk::write(libos, file as i32, disk, &each_slice(vectors, count)?, at, O_DSYNC);
    }
    match flags as u32 & !HINTS {
        0 if offset == u64::MAX => writev(libos, arguments),
        0 => pwritev(libos, arguments),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

/// Makes a call for each buffer, with the count so far, until a call transfers less than its buffer. A count other than 0 is
/// the result, even if the next call fails.
fn each_vector(vectors: u64, count: u64, mut call: impl FnMut(Slice, u64) -> Answer) -> Answer {
    let slices = each_slice(vectors, count)?;
    if slices.iter().all(|slice| slice.is_empty()) {
        return call(Slice::new(0, 0), 0);
    }
    let mut done = 0;
    for slice in slices.into_iter().filter(|slice| !slice.is_empty()) {
        match call(slice, done) {
            Ok(moved) => {
                done += moved;
                if moved < slice.length {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(stop) => return Err(stop),
        }
    }
    Ok(done)
}
