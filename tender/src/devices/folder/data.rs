//! Requests on open files: contents, listing, attributes, locks.

#![expect(unsafe_code, reason = "guest memory is named by address")]

use super::locks::{Owner, Range, identity};
use super::paths::{Names, kind};
use super::service::{Service, argument, swapped};
use super::system::{self, Error};
use crate::devices::copy;
use crate::devices::ring::Part;
use husk_abi::folder::*;
use libc::{EBADF, EFAULT, EINVAL, EISDIR, EMFILE, ENOENT, ENOSYS, EOPNOTSUPP, iovec, timespec};
use std::ptr::NonNull;
use zerocopy::IntoBytes;

/// Bits of a mode that a guest may set.
pub(super) const PERMISSIONS: u32 = 0o1777;
/// Most bytes of records of a directory at once.
const LIST_MAXIMUM: usize = 64 << 10;

impl Service {
    /// # Safety
    ///
    /// The kernel may write to the memory of `data`.
    pub(super) unsafe fn read(&mut self, request: &Request, data: &[iovec]) -> Result<Answer, Error> {
        let (file, offset) = (self.file(request.handle)?, checked(request.offset)?);
        check_length(data)?;
        // SAFETY: the caller guarantees for the memory.
        let count = unsafe { system::transfer(file, data, offset, None) }?;
        Ok(Answer { count, ..Answer::default() })
    }

    /// # Safety
    ///
    /// The kernel may read the memory of `data`.
    pub(super) unsafe fn write(&mut self, request: &Request, data: &[iovec]) -> Result<Answer, Error> {
        let flags = Flags::from_bits(request.flags).filter(|flags| !flags.contains(Flags::WITHIN));
        let flags = flags.ok_or(EINVAL as Error)?;
        let (file, appends) = (self.file(request.handle)?, flags.contains(Flags::APPEND));
        check_length(data)?;
        let how = if flags.contains(Flags::DURABLE) { libc::RWF_DSYNC } else { 0 };
        // Without an offset, the descriptor's own counts, and stands behind the bytes afterwards.
        let (offset, how) = if appends { (-1, how | libc::RWF_APPEND) } else { (checked(request.offset)?, how) };
        // SAFETY: the caller guarantees for the memory.
        let count = unsafe { system::transfer(file, data, offset, Some(how)) }?;
        let position = match appends {
            true => system::plain(libc::SYS_lseek, file, [0, libc::SEEK_CUR.into(), 0])?,
            false => request.offset + count,
        };
        Ok(Answer { count, position, ..Answer::default() })
    }

    /// # Safety
    ///
    /// The kernel may write to the memory of `data`.
    pub(super) unsafe fn list(&mut self, request: &Request, data: &[iovec]) -> Result<Answer, Error> {
        let file = self.file(request.handle)?;
        let (into, length) = only(data)?;
        system::plain(libc::SYS_lseek, file, [argument(request.offset), libc::SEEK_SET.into(), 0])?;
        // SAFETY: the caller guarantees for the memory.
        let count = unsafe { system::fill(libc::SYS_getdents64, file, (into, length.min(LIST_MAXIMUM))) }?;
        Ok(Answer { count, ..Answer::default() })
    }

    /// # Safety
    ///
    /// The kernel may write to the memory of `data`.
    pub(super) unsafe fn read_link(
        &mut self,
        request: &Request,
        names: &Names,
        data: &[iovec],
    ) -> Result<Answer, Error> {
        let into = only(data)?;
        let link = self.target(request.handle, &names.first, false)?;
        // SAFETY: the caller guarantees for the memory.
        let count = unsafe { system::fill(libc::SYS_readlinkat, link.raw(), into) };
        // With an empty name, the kernel has another error for a file that is no link.
        let count = count.map_err(|error| if error == ENOENT as Error { EINVAL as Error } else { error })?;
        Ok(Answer { count, ..Answer::default() })
    }

    pub(super) fn set(&mut self, request: &Request, names: &Names) -> Result<(), Error> {
        let flags = Flags::from_bits(request.flags).ok_or(EINVAL as Error)?;
        if flags.contains(Flags::SIZE) {
            self.set_size(request, names)?;
        }
        let others = Flags::MODE | Flags::USER | Flags::GROUP;
        let times = Flags::ACCESSED | Flags::MODIFIED | Flags::ACCESSED_NOW | Flags::MODIFIED_NOW;
        if !flags.intersects(others | times) {
            return Ok(());
        }
        let target = self.target(request.handle, &names.first, !flags.contains(Flags::NO_FOLLOW))?;
        if flags.intersects(Flags::USER | Flags::GROUP) {
            let number = |flag, number, own| if flags.contains(flag) { swapped(number, own) } else { u32::MAX };
            let user = number(Flags::USER, request.user, self.owner.0);
            let group = number(Flags::GROUP, request.group, self.owner.1);
            system::set_owner(target.raw(), user, group)?;
        }
        if flags.contains(Flags::MODE) {
            self.set_mode(target.raw(), request, names)?;
        }
        if flags.intersects(times) {
            let [accessed, modified] = request.times;
            let accessed = time(accessed, flags, Flags::ACCESSED, Flags::ACCESSED_NOW);
            let modified = time(modified, flags, Flags::MODIFIED, Flags::MODIFIED_NOW);
            system::set_times(target.raw(), &[accessed, modified])?;
        }
        Ok(())
    }

    fn set_size(&mut self, request: &Request, names: &Names) -> Result<(), Error> {
        let size = argument(request.count);
        if names.first.is_empty() && request.handle != ROOT {
            return system::plain(libc::SYS_ftruncate, self.file(request.handle)?, [size, 0, 0]).map(drop);
        }
        let status = self.look(request.handle, &names.first, true)?;
        match kind(&status) {
            libc::S_IFREG => {}
            libc::S_IFDIR => return Err(EISDIR as Error),
            _ => return Err(EINVAL as Error),
        }
        self.with_file(request, names, &status, libc::O_WRONLY, |file| {
            system::plain(libc::SYS_ftruncate, file, [size, 0, 0]).map(drop)
        })
    }

    /// Calls `code` with the file at a path, of which these attributes are known, and which is opened for it. If the guest has record locks on the file, it stays open, because closing it would
    /// release them, and is used again.
    fn with_file(
        &mut self,
        request: &Request,
        names: &Names,
        known: &libc::statx,
        flags: i32,
        code: impl FnOnce(i32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(file) = self.locks.kept(identity(known)) {
            return code(system::raw(file));
        }
        if !self.handles.has_room(self.locks.kept_count()) {
            return Err(EMFILE as Error);
        }
        // For both purposes, so that one file is enough.
        let both = self.open_file(request.handle, &names.first, libc::O_RDWR, 0);
        let (file, status) = match both {
            Ok(opened) => opened,
            Err(_) => self.open_file(request.handle, &names.first, flags, 0)?,
        };
        let done = code(system::raw(&file));
        self.locks.put_away(identity(&status), file);
        done
    }

    /// Sets permissions, which older kernels (before Linux 6.6) cannot for a file that is open by its path only. Without the set-ID
    /// bits: a program of the guest's would run with the rights of husk's user on the host.
    fn set_mode(&mut self, file: i32, request: &Request, names: &Names) -> Result<(), Error> {
        let mode = (request.mode & PERMISSIONS).into();
        match system::named(libc::SYS_fchmodat2, file, c"", [mode, libc::AT_EMPTY_PATH.into()]) {
            Err(error) if error == ENOSYS as Error => {}
            result => return result,
        }
        if names.first.is_empty() && request.handle != ROOT {
            return system::plain(libc::SYS_fchmod, file, [mode, 0, 0]).map(drop);
        }
        let status = self.look(request.handle, &names.first, true)?;
        self.with_file(request, names, &status, libc::O_RDONLY, |file| {
            system::plain(libc::SYS_fchmod, file, [mode, 0, 0]).map(drop)
        })
    }

    pub(super) fn sync(&mut self, request: &Request) -> Result<(), Error> {
        let data_only = request.flags & Flags::DATA_ONLY.bits() != 0;
        let number = if data_only { libc::SYS_fdatasync } else { libc::SYS_fsync };
        system::plain(number, self.file(request.handle)?, [0; 3]).map(drop)
    }

    pub(super) fn space(&mut self, request: &Request, names: &Names, data: &[iovec]) -> Result<(), Error> {
        let target = self.target(request.handle, &names.first, true)?;
        let space = system::space(target.raw())?;
        let space = Space {
            magic: space.f_type as u64,
            block_size: space.f_bsize as u64,
            blocks: [space.f_blocks, space.f_bfree, space.f_bavail],
            files: [space.f_files, space.f_ffree],
            name_maximum: space.f_namelen as u64,
        };
        give(data, space.as_bytes())
    }

    pub(super) fn flock(&mut self, request: &Request) -> Result<(), Error> {
        let operation = i64::from(request.flags) | i64::from(libc::LOCK_NB);
        system::plain(libc::SYS_flock, self.file(request.handle)?, [operation, 0, 0]).map(drop)
    }

    pub(super) fn lock(&mut self, takes: bool, request: &Request, data: &[iovec]) -> Result<(), Error> {
        let command = match (takes, request.mode) {
            (true, PROCESS) => libc::F_SETLK,
            (false, PROCESS) => libc::F_GETLK,
            (true, _) => libc::F_OFD_SETLK,
            (false, _) => libc::F_OFD_GETLK,
        };
        let mut lock = libc::flock {
            l_type: request.flags as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: argument(request.offset),
            l_len: argument(request.count),
            l_pid: 0,
        };
        let file = self.file(request.handle)?;
        if takes {
            let owner = if request.mode == PROCESS { Owner::Guest } else { Owner::Handle(request.handle) };
            let start = checked(request.offset)?.cast_unsigned();
            let end = match checked(request.count)? {
                0 => u64::MAX,
                count => start + count.cast_unsigned(),
            };
            let range = Range { start, end, kind: lock.l_type };
            let identity = self.handles.identity(request.handle)?.ok_or(EBADF as Error)?;
            let change = self.locks.change(owner, identity, range)?;
            system::lock(file, command, &mut lock)?;
            self.locks.made(change);
            return Ok(());
        }
        system::lock(file, command, &mut lock)?;
        let (start, length) = (lock.l_start as u64, lock.l_len as u64);
        give(data, Lock { kind: lock.l_type as u32, reserved: 0, start, length }.as_bytes())
    }

    pub(super) fn allocate(&mut self, request: &Request) -> Result<(), Error> {
        const KNOWN: i32 = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE;
        if request.flags & !(KNOWN as u32) != 0 {
            return Err(EOPNOTSUPP as Error);
        }
        let rest = [request.flags.into(), argument(request.offset), argument(request.count)];
        system::plain(libc::SYS_fallocate, self.file(request.handle)?, rest).map(drop)
    }

    pub(super) fn seek(&mut self, request: &Request) -> Result<Answer, Error> {
        let rest = [argument(request.offset), request.flags.into(), 0];
        let position = system::plain(libc::SYS_lseek, self.file(request.handle)?, rest)?;
        Ok(Answer { position, ..Answer::default() })
    }
}

/// EINVAL for an offset beyond the greatest.
fn checked(offset: u64) -> Result<i64, Error> {
    i64::try_from(offset).map_err(|_| EINVAL as Error)
}

/// EINVAL for more data than one request has.
fn check_length(data: &[iovec]) -> Result<(), Error> {
    // Each part is at most `PART_MAXIMUM`, and there are few.
    let length: usize = data.iter().map(|part| part.iov_len).sum();
    if length > DATA_MAXIMUM as usize { Err(EINVAL as Error) } else { Ok(()) }
}

/// The one part of the data.
fn only(data: &[iovec]) -> Result<(*mut u8, usize), Error> {
    match data {
        [part] => Ok((part.iov_base.cast(), part.iov_len)),
        _ => Err(EINVAL as Error),
    }
}

/// Writes a structure to the data.
fn give(data: &[iovec], bytes: &[u8]) -> Result<(), Error> {
    let (start, length) = only(data)?;
    let part = NonNull::new(start).filter(|_| length == bytes.len()).ok_or(EINVAL as Error)?;
    copy::into_part(Part { start: part, length }, bytes).map_err(|_| EFAULT as Error)
}

/// A time as utimensat(2) takes it.
fn time(time: Time, flags: Flags, set: Flags, now: Flags) -> timespec {
    match time {
        _ if flags.contains(now) => timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
        Time { seconds, nanoseconds, .. } if flags.contains(set) => {
            // The numbers of UTIME_NOW and UTIME_OMIT are above these.
            timespec { tv_sec: seconds, tv_nsec: nanoseconds.min(999_999_999).into() }
        }
        _ => timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
    }
}
