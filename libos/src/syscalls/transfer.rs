//! Calls that read and write.
//!
//! A write may have transferred bytes before it waits: the count is kept with the thread while the call is restarted.

use super::Arguments;
use super::arguments::each_slice;
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::offset::checked;
use crate::fs::socket::AnySocket;
use crate::outside::Outside;
use crate::signals::PIPE;
use crate::state::{Libos, now};
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult};
use crate::user::Slice;
use linux_raw_sys::general::*;

/// Calls that use the offset of the file of their first argument.
const OF_OFFSET: [u32; 7] =
    [__NR_read, __NR_readv, __NR_write, __NR_writev, __NR_sendfile, __NR_lseek, __NR_getdents64];

/// Returns true if a call uses the offset of the file of its first argument.
pub fn uses_offset(number: u64, Arguments([_, _, _, offset, ..]): Arguments) -> bool {
    let number = number as u32;
    let is_without = [__NR_preadv2, __NR_pwritev2].contains(&number) && offset == u64::MAX;
    is_without || OF_OFFSET.contains(&number)
}

/// read(2).
#[inline]
pub fn read(libos: &mut Libos, Arguments([file, into, length, ..]): Arguments) -> SyscallResult {
    read_at(libos, file as i32, &[Slice::new(into, length)], None)
}

/// pread64(2).
pub fn pread(libos: &mut Libos, Arguments([file, into, length, offset, ..]): Arguments) -> SyscallResult {
    read_at(libos, file as i32, &[Slice::new(into, length)], Some(checked(offset)?))
}

/// readv(2).
pub fn readv(libos: &mut Libos, Arguments([file, vectors, count, ..]): Arguments) -> SyscallResult {
    read_all(libos, file as i32, &each_slice(vectors, count)?, None)
}

/// preadv(2).
pub fn preadv(libos: &mut Libos, Arguments([file, vectors, count, offset, ..]): Arguments) -> SyscallResult {
    let offset = checked(offset)?;
    read_all(libos, file as i32, &each_slice(vectors, count)?, Some(offset))
}

#[inline]
fn read_at(libos: &mut Libos, file: i32, slices: &[Slice], at: Option<u64>) -> SyscallResult {
    let read = libos.change(|files, outside| files.read(outside, file, at, Buffers::new(slices, 0), now));
    match read {
        // A count is returned by itself: to copy the whole result would take longer than a short read.
        Ok(count) => {
            libos.files.report_transfer(file, count, IN_ACCESS);
            Ok(count)
        }
        Err(Stop::Block(_)) => patiently(libos, file, false, read),
        Err(_) => read,
    }
}

/// Reads into all buffers. Unless one call fills them, reads into one after the other, until a call fills less than its buffer;
/// a count other than 0 is the result, even if the next call fails.
fn read_all(libos: &mut Libos, file: i32, slices: &[Slice], at: Option<u64>) -> SyscallResult {
    if libos.files.takes_vectors(file) || slices.iter().all(|slice| slice.is_empty()) {
        return read_at(libos, file, slices, at);
    }
    let mut done = 0;
    for slice in slices.iter().filter(|slice| !slice.is_empty()) {
        match read_at(libos, file, &[*slice], at.map(|at| at.saturating_add(done))) {
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

/// write(2).
#[inline]
pub fn write(libos: &mut Libos, Arguments([file, from, length, ..]): Arguments) -> SyscallResult {
    write_at(libos, file as i32, &[Slice::new(from, length)], None, false)
}

/// pwrite64(2).
pub fn pwrite(libos: &mut Libos, Arguments([file, from, length, offset, ..]): Arguments) -> SyscallResult {
    write_at(libos, file as i32, &[Slice::new(from, length)], Some(checked(offset)?), false)
}

/// writev(2).
pub fn writev(libos: &mut Libos, Arguments([file, vectors, count, ..]): Arguments) -> SyscallResult {
    write_at(libos, file as i32, &each_slice(vectors, count)?, None, false)
}

/// pwritev(2).
pub fn pwritev(libos: &mut Libos, Arguments([file, vectors, count, offset, ..]): Arguments) -> SyscallResult {
    let offset = checked(offset)?;
    write_at(libos, file as i32, &each_slice(vectors, count)?, Some(offset), false)
}

#[inline]
fn write_at(libos: &mut Libos, file: i32, slices: &[Slice], at: Option<u64>, sync: bool) -> SyscallResult {
    whole(libos, file, Buffers::new(slices, 0).length(), true, |files, outside, done| {
        let at = at.map(|at| at.saturating_add(done));
        let count = files.write(outside, file, at, Buffers::new(slices, done), sync, now)?;
        files.report_transfer(file, count, IN_MODIFY);
        Ok(count)
    })
}

/// Repeats a writing call, with the number of bytes written so far, until `length` are written, or it fails. If it waits, the
/// count is kept until it is restarted; if it fails for another reason, the count is the result. If `signals`, a file without a
/// reader also means SIGPIPE.
#[inline]
pub fn whole(
    libos: &mut Libos,
    file: i32,
    length: u64,
    signals: bool,
    mut call: impl FnMut(&mut Files, &mut Outside<'_>, u64) -> SyscallResult,
) -> SyscallResult {
    let mut done = core::mem::take(&mut libos.threads.current().progress);
    loop {
        match libos.change(|files, outside| call(files, outside, done)) {
            Ok(count) => {
                done += count;
                if done >= length || count == 0 {
                    return Ok(done);
                }
            }
            Err(stop) => return stopped(libos, file, stop, done, signals),
        }
    }
}

/// Handles a write that has stopped after `done` bytes.
#[cold]
fn stopped(libos: &mut Libos, file: i32, stop: Stop, done: u64, signals: bool) -> SyscallResult {
    if stop == Errno::EPIPE.into() && signals {
        let thread = libos.threads.current().id;
        libos.signals.send(&mut libos.threads, thread, PIPE)?;
    }
    match stop {
        // The call may be restarted.
        Stop::Gate => {
            libos.threads.current().progress = done;
            Err(stop)
        }
        Stop::Block(_) | Stop::Errno(Errno::EINTR) => {
            libos.threads.current().progress = done;
            patiently(libos, file, true, Err(stop))
        }
        _ if done > 0 => Ok(done),
        stop => Err(stop),
    }
}

/// Limits the wait of a call on a socket to the socket's timeout.
pub fn patiently(libos: &mut Libos, file: i32, to_send: bool, answer: SyscallResult) -> SyscallResult {
    let timeout_ns = match libos.files.socket(file) {
        Ok(AnySocket::Unix(_)) => libos.files.socket_timeout(file, to_send),
        Ok(AnySocket::Internet(socket)) => libos.net.timeout(socket, to_send),
        Err(_) => None,
    };
    match (answer, timeout_ns) {
        (Err(Stop::Block(sleep)), Some(timeout_ns)) => {
            let deadline = Some(libos.threads.deadline_in(timeout_ns));
            let expired = Resume::Return(Errno::EAGAIN.to_result());
            Err(Stop::Block(Sleep { deadline, expired, ..sleep }))
        }
        (answer, _) => answer,
    }
}

/// Flags of preadv2(2) and pwritev2(2) that have no effect without a cache, except for those of a write to a disk.
const HINTS: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC;

/// preadv2(2). Registers four and five are the halves of the offset; the first holds all of it.
pub fn preadv2(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([.., offset, _, flags]) = arguments;
    match flags as u32 & !HINTS {
        0 if offset == u64::MAX => readv(libos, arguments),
        0 => preadv(libos, arguments),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

/// pwritev2(2).
pub fn pwritev2(libos: &mut Libos, Arguments([file, vectors, count, offset, _, flags]): Arguments) -> SyscallResult {
    let flags = flags as u32;
    if flags & !HINTS != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let at = if offset == u64::MAX { None } else { Some(checked(offset)?) };
    write_at(libos, file as i32, &each_slice(vectors, count)?, at, flags & (RWF_DSYNC | RWF_SYNC) != 0)
}
