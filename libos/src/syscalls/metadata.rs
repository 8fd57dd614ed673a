//! Calls on the metadata of files: status, permissions, owners, times, size.

use super::arguments::{done, path};
use super::folder::{self, How, Reached};
use super::{Arguments, inotify};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::inode::Time;
use crate::fs::layout::{Statfs, Timespec};
use crate::fs::times::Change;
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user;
use alloc::vec::Vec;
use husk::abi::folder::{ALLOCATE, Flags, Request, SET, SPACE, STAT, Space, Time as FolderTime};
use linux_raw_sys::general::*;
use zerocopy::FromBytes;

/// The working directory, as an argument.
const HERE: u64 = AT_FDCWD as u64;

/// The path at `address`, which may be null with `AT_EMPTY_PATH`.
fn path_or_none(address: u64, flags: u64) -> Result<Vec<u8>, Errno> {
    if address == 0 && flags as u32 & AT_EMPTY_PATH != 0 { Ok(Vec::new()) } else { path(address) }
}

/// stat(2).
pub fn stat(libos: &mut Libos, Arguments([at, into, ..]): Arguments) -> SyscallResult {
    newfstatat(libos, Arguments([HERE, at, into, 0, 0, 0]))
}

/// lstat(2).
pub fn lstat(libos: &mut Libos, Arguments([at, into, ..]): Arguments) -> SyscallResult {
    newfstatat(libos, Arguments([HERE, at, into, u64::from(AT_SYMLINK_NOFOLLOW), 0, 0]))
}

/// fstat(2).
pub fn fstat(libos: &mut Libos, Arguments([file, into, ..]): Arguments) -> SyscallResult {
    libos.files.description(file as i32)?;
    newfstatat(libos, Arguments([file, 0, into, u64::from(AT_EMPTY_PATH), 0, 0]))
}

/// newfstatat(2).
pub fn newfstatat(libos: &mut Libos, Arguments([directory, at, into, flags, ..]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    match folder::request(libos, directory as i32, path, how(flags), STAT, status_request(flags))? {
        Reached::Folder(reply, place) => {
            done(user::write(into, &Files::folder_stat(place.folder, &reply.answer.attributes)))
        }
        Reached::Elsewhere(directory, path) => {
            done(user::write(into, &libos.files.stat(directory, &path, flags as u32)?))
        }
    }
}

/// statx(2).
pub fn statx(libos: &mut Libos, Arguments([directory, at, flags, mask, into, _]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    if mask as u32 & STATX__RESERVED != 0 {
        return Err(Errno::EINVAL.into());
    }
    match folder::request(libos, directory as i32, path, how(flags), STAT, status_request(flags))? {
        Reached::Folder(reply, place) => {
            done(user::write(into, &Files::folder_statx(place.folder, &reply.answer.attributes)))
        }
        Reached::Elsewhere(directory, path) => {
            done(user::write(into, &libos.files.statx(directory, &path, flags as u32)?))
        }
    }
}

/// statfs(2).
pub fn statfs(libos: &mut Libos, Arguments([at, into, ..]): Arguments) -> SyscallResult {
    let path = path(at)?;
    if path.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    space(libos, AT_FDCWD, path, into)
}

/// fstatfs(2).
pub fn fstatfs(libos: &mut Libos, Arguments([file, into, ..]): Arguments) -> SyscallResult {
    libos.files.description(file as i32)?;
    space(libos, file as i32, Vec::new(), into)
}

/// statfs(2), or fstatfs(2) with an empty path.
fn space(libos: &mut Libos, directory: i32, path: Vec<u8>, into: u64) -> SyscallResult {
    let how = How { follow: true, empty: true };
    let reached = folder::reach(libos, (directory, path), how, (SPACE, Request::default()), b"", size_of::<Space>())?;
    let (reply, place) = match reached {
        Reached::Folder(reply, place) => (reply, place),
        Reached::Elsewhere(directory, path) => {
            return done(user::write(into, &libos.files.statfs(directory, &path)?));
        }
    };
    let space = Space::read_from_bytes(reply.data.bytes()).map_err(|_| Errno::EIO)?;
    let [blocks, blocks_free, blocks_available] = space.blocks;
    let [files, files_free] = space.files;
    let space = Statfs {
        magic: space.magic,
        block_size: space.block_size,
        blocks,
        blocks_free,
        blocks_available,
        files,
        files_free,
        id: place.folder.into(),
        name_maximum: space.name_maximum,
        fragment_size: space.block_size,
        flags: 0,
        reserved: [0; 4],
    };
    done(user::write(into, &space))
}

/// Treatment of a path with these flags.
fn how(flags: u64) -> How {
    let flags = flags as u32;
    How { follow: flags & AT_SYMLINK_NOFOLLOW == 0, empty: flags & AT_EMPTY_PATH != 0 }
}

/// Request about the file that these flags of a call mean.
fn status_request(flags: u64) -> Request {
    Request { flags: follow_flag(flags).bits(), ..Request::default() }
}

fn follow_flag(flags: u64) -> Flags {
    if how(flags).follow { Flags::empty() } else { Flags::NO_FOLLOW }
}

/// Changes attributes of a file of a folder; returns directory and path of another file.
fn set(
    libos: &mut Libos,
    directory: i32,
    path: Vec<u8>,
    flags: u64,
    what: Flags,
    request: Request,
) -> Result<Option<(i32, Vec<u8>)>, Stop> {
    let request = Request { flags: (what | follow_flag(flags)).bits(), ..request };
    match folder::request(libos, directory, path, how(flags), SET, request)? {
        Reached::Folder(_, place) => inotify::changed(libos, &place, how(flags).follow, what).map(|()| None),
        Reached::Elsewhere(directory, path) => Ok(Some((directory, path))),
    }
}

/// access(2).
pub fn access(libos: &mut Libos, Arguments([at, mode, ..]): Arguments) -> SyscallResult {
    faccessat(libos, Arguments([HERE, at, mode, 0, 0, 0]))
}

/// faccessat(2), which has no flags.
pub fn faccessat(libos: &mut Libos, Arguments([directory, at, mode, ..]): Arguments) -> SyscallResult {
    faccessat2(libos, Arguments([directory, at, mode, 0, 0, 0]))
}

/// faccessat2(2).
pub fn faccessat2(libos: &mut Libos, Arguments([directory, at, mode, flags, ..]): Arguments) -> SyscallResult {
    let path = path(at)?;
    match folder::request(libos, directory as i32, path, how(flags), STAT, status_request(flags))? {
        Reached::Folder(reply, place) => {
            let (mode, has) = (mode as u32, reply.answer.attributes.mode);
            let read_only = libos.files.folder(place.folder).is_some_and(|folder| folder.read_only);
            match has & S_IFMT {
                _ if mode & !0o7 != 0 => Err(Errno::EINVAL.into()),
                S_IFREG | S_IFDIR if mode & W_OK != 0 && read_only => Err(Errno::EROFS.into()),
                S_IFREG if mode & X_OK != 0 && has & 0o111 == 0 => Err(Errno::EACCES.into()),
                _ => Ok(0),
            }
        }
        Reached::Elsewhere(directory, path) => {
            done(libos.files.check_access(directory, &path, mode as u32, flags as u32))
        }
    }
}

/// chmod(2).
pub fn chmod(libos: &mut Libos, Arguments([at, mode, ..]): Arguments) -> SyscallResult {
    fchmodat2(libos, Arguments([HERE, at, mode, 0, 0, 0]))
}

/// fchmod(2).
pub fn fchmod(libos: &mut Libos, Arguments([file, mode, ..]): Arguments) -> SyscallResult {
    libos.files.check(file as i32)?;
    fchmodat2(libos, Arguments([file, 0, mode, u64::from(AT_EMPTY_PATH), 0, 0]))
}

/// fchmodat(2), which has no flags.
pub fn fchmodat(libos: &mut Libos, Arguments([directory, at, mode, ..]): Arguments) -> SyscallResult {
    fchmodat2(libos, Arguments([directory, at, mode, 0, 0, 0]))
}

/// fchmodat2(2).
pub fn fchmodat2(libos: &mut Libos, Arguments([directory, at, mode, flags, ..]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    let request = Request { mode: mode as u32, ..Request::default() };
    match set(libos, directory as i32, path, flags, Flags::MODE, request)? {
        None => Ok(0),
        Some((directory, path)) => {
            done(libos.files.set_permissions(directory, &path, mode as u32, flags as u32, now()))
        }
    }
}

/// chown(2).
pub fn chown(libos: &mut Libos, Arguments([at, user, group, ..]): Arguments) -> SyscallResult {
    fchownat(libos, Arguments([HERE, at, user, group, 0, 0]))
}

/// lchown(2).
pub fn lchown(libos: &mut Libos, Arguments([at, user, group, ..]): Arguments) -> SyscallResult {
    fchownat(libos, Arguments([HERE, at, user, group, u64::from(AT_SYMLINK_NOFOLLOW), 0]))
}

/// fchown(2).
pub fn fchown(libos: &mut Libos, Arguments([file, user, group, ..]): Arguments) -> SyscallResult {
    libos.files.check(file as i32)?;
    fchownat(libos, Arguments([file, 0, user, group, u64::from(AT_EMPTY_PATH), 0]))
}

/// fchownat(2).
pub fn fchownat(libos: &mut Libos, Arguments([directory, at, user, group, flags, _]): Arguments) -> SyscallResult {
    let (path, user, group) = (path_or_none(at, flags)?, user as u32, group as u32);
    let mut what = Flags::empty();
    what.set(Flags::USER, user != u32::MAX);
    what.set(Flags::GROUP, group != u32::MAX);
    match set(libos, directory as i32, path, flags, what, Request { user, group, ..Request::default() })? {
        None => Ok(0),
        Some((directory, path)) => done(libos.files.set_owner(directory, &path, (user, group), flags as u32, now())),
    }
}

/// umask(2).
pub fn umask(libos: &mut Libos, Arguments([mask, ..]): Arguments) -> SyscallResult {
    Ok(core::mem::replace(&mut libos.files.umask, mask as u32 & 0o777).into())
}

/// utimensat(2). Without a path, sets the times of the descriptor's file.
pub fn utimensat(libos: &mut Libos, Arguments([directory, at, times, flags, ..]): Arguments) -> SyscallResult {
    let [accessed, modified] = match times {
        0 => [Change::Now; 2],
        address => {
            let [accessed, modified]: [Timespec; 2] = user::read(address)?;
            [Change::read(accessed), Change::read(modified)]
        }
    };
    let path = if at == 0 { None } else { Some(path(at)?) };
    if path.is_none() && directory as i32 == AT_FDCWD {
        return Err(Errno::EFAULT.into());
    }
    let (on_host, nameless) = (path.clone().unwrap_or_default(), path.is_none());
    let flags = if nameless { flags | u64::from(AT_EMPTY_PATH) } else { flags };
    let (what, times) = folder_times(accessed, modified);
    let request = Request { times, ..Request::default() };
    let (directory, path) = match set(libos, directory as i32, on_host, flags, what, request)? {
        None if [accessed, modified].contains(&Change::Invalid) => return Err(Errno::EINVAL.into()),
        None => return Ok(0),
        Some((directory, path)) => (directory, if nameless { None } else { Some(path) }),
    };
    done(libos.files.set_times(directory, path.as_deref(), accessed, modified, flags as u32, now()))
}

/// Times to be set on a file of a folder.
fn folder_times(accessed: Change, modified: Change) -> (Flags, [FolderTime; 2]) {
    let (mut what, mut times) = (Flags::empty(), [FolderTime::default(); 2]);
    let flags = [(Flags::ACCESSED, Flags::ACCESSED_NOW), (Flags::MODIFIED, Flags::MODIFIED_NOW)];
    for ((change, time), (set, present)) in [accessed, modified].into_iter().zip(&mut times).zip(flags) {
        match change {
            Change::Omit | Change::Invalid => {}
            Change::Now => what |= present,
            Change::To(Time { seconds, nanoseconds }) => {
                what |= set;
                *time = FolderTime { seconds, nanoseconds, reserved: 0 };
            }
        }
    }
    (what, times)
}

/// truncate(2).
pub fn truncate(libos: &mut Libos, Arguments([at, size, ..]): Arguments) -> SyscallResult {
    let path = path(at)?;
    let count = u64::try_from(size as i64).map_err(|_| Errno::EINVAL)?;
    match set(libos, AT_FDCWD, path, 0, Flags::SIZE, Request { count, ..Request::default() })? {
        None => Ok(0),
        Some((_, path)) => done(libos.files.truncate(&path, size as i64, now())),
    }
}

/// ftruncate(2).
pub fn ftruncate(libos: &mut Libos, Arguments([file, size, ..]): Arguments) -> SyscallResult {
    if let Some(opened) = libos.files.folder_file(file as i32) {
        let count = u64::try_from(size as i64).map_err(|_| Errno::EINVAL)?;
        libos.files.check(file as i32)?;
        let request = Request { flags: Flags::SIZE.bits(), count, ..Request::default() };
        folder::about(libos, opened, SET, request)?;
        libos.files.report_transfer(file as i32, 1, IN_MODIFY);
        return Ok(0);
    }
    done(libos.files.truncate_open(file as i32, size as i64, now()))
}

/// fallocate(2).
pub fn fallocate(libos: &mut Libos, Arguments([file, mode, offset, length, ..]): Arguments) -> SyscallResult {
    let range = (offset as i64, length as i64);
    if let Some(opened) = libos.files.folder_file(file as i32) {
        libos.files.check(file as i32)?;
        let request = Request { flags: mode as u32, offset, count: length, ..Request::default() };
        folder::about(libos, opened, ALLOCATE, request)?;
        libos.files.report_transfer(file as i32, length, IN_MODIFY);
        return Ok(0);
    }
    libos.change(|files, outside| files.allocate(outside, file as i32, mode as u32, range, now()))
}
