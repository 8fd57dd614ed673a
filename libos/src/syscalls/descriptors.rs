//! Calls on descriptors: duplicates, flags and locks.

use super::Arguments;
use super::arguments::{descriptor, done};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::inode::Kind;
use crate::fs::layout::Flock;
use crate::fs::lock::{Mode, Record, WHOLE};
use crate::fs::pipe::CAPACITY;
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::user;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX};

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
    done(libos.change(|files, _| files.lock(file as i32, operation as u32)))
}

/// fcntl(2).
pub fn fcntl(libos: &mut Libos, Arguments([file, command, argument, ..]): Arguments) -> SyscallResult {
    let (file, files) = (file as i32, &mut libos.files);
    match command as u32 {
        F_DUPFD => descriptor(files.duplicate(file, argument, false)),
        F_DUPFD_CLOEXEC => descriptor(files.duplicate(file, argument, true)),
        F_GETFD => Ok(if files.close_on_exec(file)? { u64::from(FD_CLOEXEC) } else { 0 }),
        F_SETFD => done(files.set_close_on_exec(file, argument as u32 & FD_CLOEXEC != 0)),
        F_GETFL => Ok(files.status_flags(file)?.into()),
        F_SETFL => done(files.set_status_flags(file, argument as u32)),
        F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
            libos.change(|files, _| lock(files, file, command as u32, argument))
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
