//! Calls on descriptors: duplicates, flags and locks.

use super::Arguments;
use super::arguments::{descriptor, done};
use super::folder;
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::folder::FolderFile;
use crate::fs::inode::Kind;
use crate::fs::layout::Flock;
use crate::fs::lock::{Mode, Record, WHOLE};
use crate::fs::pipe::CAPACITY;
use crate::state::Libos;
use crate::syscall_result::{Stop, SyscallResult, WaitFor};
use crate::user;
use husk::abi::folder::{FLOCK, GET_LOCK, LOCK, Lock, PROCESS, Request};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX};
use zerocopy::FromBytes;

/// dup(2).
pub fn dup(libos: &mut Libos, Arguments([file, ..]): Arguments) -> SyscallResult {
    descriptor(libos.files.duplicate(file as i32, 0, false))
}

/// dup2(2).
pub fn dup2(libos: &mut Libos, Arguments([file, to, ..]): Arguments) -> SyscallResult {
    descriptor(libos.change(|files, _| files.duplicate_to(file as i32, to as i32, false)))
}

/// dup3(2).
pub fn dup3(libos: &mut Libos, Arguments([file, to, flags, ..]): Arguments) -> SyscallResult {
    if flags as u32 & !O_CLOEXEC != 0 || file as i32 == to as i32 {
        return Err(Errno::EINVAL.into());
    }
    descriptor(libos.change(|files, _| files.duplicate_to(file as i32, to as i32, flags != 0)))
}

/// flock(2).
pub fn flock(libos: &mut Libos, Arguments([file, operation, ..]): Arguments) -> SyscallResult {
    let (file, operation) = (file as i32, operation as u32);
    if let Some(opened) = libos.files.folder_file(file) {
        libos.files.check(file)?;
        let request = Request { flags: operation & !LOCK_NB, ..Request::default() };
        return until_free(folder::finally(libos, opened, FLOCK, request).map(|_| 0), operation & LOCK_NB == 0);
    }
    done(libos.change(|files, _| files.lock(file, operation)))
}

/// fcntl(2).
pub fn fcntl(libos: &mut Libos, Arguments([file, command, argument, ..]): Arguments) -> SyscallResult {
    let (file, command) = (file as i32, command as u32);
    if let Some(opened) = libos.files.folder_file(file)
        && matches!(command, F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW)
    {
        return lock_in_folder(libos, file, opened, command, argument);
    }
    let files = &mut libos.files;
    match command {
        F_DUPFD => descriptor(files.duplicate(file, argument, false)),
        F_DUPFD_CLOEXEC => descriptor(files.duplicate(file, argument, true)),
        F_GETFD => Ok(if files.close_on_exec(file)? { u64::from(FD_CLOEXEC) } else { 0 }),
        F_SETFD => done(files.set_close_on_exec(file, argument as u32 & FD_CLOEXEC != 0)),
        F_GETFL => Ok(files.status_flags(file)?.into()),
        F_SETFL => done(files.set_status_flags(file, argument as u32)),
        F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
            libos.change(|files, _| lock(files, file, command, argument))
        }
        F_GETOWN | F_SETOWN => done(files.check(file)),
        F_GETPIPE_SZ | F_SETPIPE_SZ => match files.kind(file)? {
            Kind::Pipe(_) => Ok(CAPACITY as u64),
            _ => Err(Errno::EBADF.into()),
        },
        _ => {
            files.check(file)?;
            Err(Errno::EINVAL.into())
        }
    }
}

/// Interval at which a lock is tried again that another holds, outside of the guest or in it, in nanoseconds.
const LOCK_INTERVAL: u64 = 2_000_000;

/// Waits for a lock that is not free, if the call `may_wait`.
fn until_free(answer: SyscallResult, may_wait: bool) -> SyscallResult {
    match answer {
        Err(Stop::Errno(Errno::EAGAIN)) if may_wait => {
            let deadline = Some(husk::clock::monotonic_ns().saturating_add(LOCK_INTERVAL));
            Err(Stop::until(WaitFor::Time, deadline))
        }
        answer => answer,
    }
}

/// The commands of fcntl(2) about locks, on a file of a folder.
fn lock_in_folder(libos: &mut Libos, file: i32, opened: FolderFile, command: u32, address: u64) -> SyscallResult {
    let asked: Flock = user::read(address)?;
    if asked.whence as u32 == SEEK_END {
        // Where the file ends, only the host knows; a lock from there is rare.
        return Err(Errno::EOPNOTSUPP.into());
    }
    let (start, end) = libos.files.lock_range(file, asked.whence, asked.start, asked.length)?;
    let mode = if matches!(command, F_GETLK | F_SETLK | F_SETLKW) { PROCESS } else { 0 };
    let count = if end == WHOLE { 0 } else { end - start };
    let request = Request { flags: asked.kind as u16 as u32, mode, offset: start, count, ..Request::default() };
    if !matches!(command, F_GETLK | F_OFD_GETLK) {
        let may_wait = matches!(command, F_SETLKW | F_OFD_SETLKW);
        return until_free(folder::finally(libos, opened, LOCK, request).map(|_| 0), may_wait);
    }
    let reply = folder::about_with(libos, opened, GET_LOCK, request, size_of::<Lock>())?;
    let found = Lock::read_from_bytes(reply.data.bytes()).map_err(|_| Errno::EIO)?;
    let found = match found.kind {
        F_UNLCK => Flock { kind: F_UNLCK as i16, ..asked },
        kind => Flock {
            kind: kind as i16,
            whence: SEEK_SET as i16,
            reserved: 0,
            start: found.start as i64,
            length: found.length as i64,
            process: -1,
            reserved_end: 0,
        },
    };
    user::write(address, &found)?;
    Ok(0)
}

/// The commands of fcntl(2) that take a `struct flock` at `address`.
fn lock(files: &mut Files, file: i32, command: u32, address: u64) -> SyscallResult {
    let asked: Flock = user::read(address)?;
    let mode = match asked.kind as u32 {
        F_RDLCK => Some(Mode::Shared),
        F_WRLCK => Some(Mode::Exclusive),
        F_UNLCK => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let range = files.lock_range(file, asked.whence, asked.start, asked.length)?;
    match command {
        F_SETLK | F_SETLKW => done(files.lock_for_process(file, mode)),
        F_OFD_SETLK => done(files.lock_record(file, mode, range, false)),
        F_OFD_SETLKW => done(files.lock_record(file, mode, range, true)),
        _ => {
            let mode = mode.ok_or(Errno::EINVAL)?;
            let found = if command == F_OFD_GETLK { files.record_in_the_way(file, mode, range)? } else { None };
            user::write(address, &found.map_or(Flock { kind: F_UNLCK as i16, ..asked }, in_the_way))?;
            Ok(0)
        }
    }
}

/// Converts a conflicting lock to the `struct flock` of fcntl(2).
fn in_the_way(record: Record) -> Flock {
    let length = if record.end == WHOLE { 0 } else { record.end - record.start };
    Flock {
        kind: if record.mode == Mode::Shared { F_RDLCK } else { F_WRLCK } as i16,
        whence: SEEK_SET as i16,
        reserved: 0,
        start: record.start as i64,
        length: length as i64,
        process: -1,
        reserved_end: 0,
    }
}

/// ioctl(2).
pub fn ioctl(libos: &mut Libos, Arguments([file, request, argument, ..]): Arguments) -> SyscallResult {
    let (file, request) = (file as i32, request as u32);
    libos.files.check(file)?;
    match request {
        FIONBIO => done(libos.files.set_nonblocking(file, user::read::<i32>(argument)? != 0)),
        FIOCLEX => done(libos.files.set_close_on_exec(file, true)),
        FIONCLEX => done(libos.files.set_close_on_exec(file, false)),
        _ => libos.change(|files, outside| files.control(outside, file, request, argument)),
    }
}
