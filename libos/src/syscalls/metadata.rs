//! Calls on the metadata of files: status, permissions, owners, times, size.

use super::Arguments;
use super::arguments::{done, path};
use crate::errno::Errno;
use crate::fs::layout::Timespec;
use crate::fs::times::Change;
use crate::state::{Libos, now};
use crate::syscall_result::SyscallResult;
use crate::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

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
    done(user::write(into, &libos.files.stat(file as i32, b"", AT_EMPTY_PATH)?))
}

/// newfstatat(2).
pub fn newfstatat(libos: &mut Libos, Arguments([directory, at, into, flags, ..]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    done(user::write(into, &libos.files.stat(directory as i32, &path, flags as u32)?))
}

/// statx(2).
pub fn statx(libos: &mut Libos, Arguments([directory, at, flags, mask, into, _]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    if mask as u32 & STATX__RESERVED != 0 {
        return Err(Errno::EINVAL.into());
    }
    done(user::write(into, &libos.files.statx(directory as i32, &path, flags as u32)?))
}

/// statfs(2).
pub fn statfs(libos: &mut Libos, Arguments([at, into, ..]): Arguments) -> SyscallResult {
    let path = path(at)?;
    if path.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    done(user::write(into, &libos.files.statfs(AT_FDCWD, &path)?))
}

/// fstatfs(2).
pub fn fstatfs(libos: &mut Libos, Arguments([file, into, ..]): Arguments) -> SyscallResult {
    libos.files.description(file as i32)?;
    done(user::write(into, &libos.files.statfs(file as i32, b"")?))
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
    done(libos.files.check_access(directory as i32, &path(at)?, mode as u32, flags as u32))
}

/// chmod(2).
pub fn chmod(libos: &mut Libos, Arguments([at, mode, ..]): Arguments) -> SyscallResult {
    fchmodat2(libos, Arguments([HERE, at, mode, 0, 0, 0]))
}

/// fchmod(2).
pub fn fchmod(libos: &mut Libos, Arguments([file, mode, ..]): Arguments) -> SyscallResult {
    libos.files.check(file as i32)?;
    done(libos.files.set_permissions(file as i32, b"", mode as u32, AT_EMPTY_PATH, now()))
}

/// fchmodat(2), which has no flags.
pub fn fchmodat(libos: &mut Libos, Arguments([directory, at, mode, ..]): Arguments) -> SyscallResult {
    fchmodat2(libos, Arguments([directory, at, mode, 0, 0, 0]))
}

/// fchmodat2(2).
pub fn fchmodat2(libos: &mut Libos, Arguments([directory, at, mode, flags, ..]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    done(libos.files.set_permissions(directory as i32, &path, mode as u32, flags as u32, now()))
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
    done(libos.files.set_owner(file as i32, b"", (user as u32, group as u32), AT_EMPTY_PATH, now()))
}

/// fchownat(2).
pub fn fchownat(libos: &mut Libos, Arguments([directory, at, user, group, flags, _]): Arguments) -> SyscallResult {
    let path = path_or_none(at, flags)?;
    done(libos.files.set_owner(directory as i32, &path, (user as u32, group as u32), flags as u32, now()))
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
            [Change::check(accessed)?, Change::check(modified)?]
        }
    };
    let path = if at == 0 { None } else { Some(path(at)?) };
    if path.is_none() && directory as i32 == AT_FDCWD {
        return Err(Errno::EFAULT.into());
    }
    done(libos.files.set_times(directory as i32, path.as_deref(), accessed, modified, flags as u32, now()))
}

/// truncate(2).
pub fn truncate(libos: &mut Libos, Arguments([at, size, ..]): Arguments) -> SyscallResult {
    done(libos.files.truncate(&path(at)?, size as i64, now()))
}

/// ftruncate(2).
pub fn ftruncate(libos: &mut Libos, Arguments([file, size, ..]): Arguments) -> SyscallResult {
    done(libos.files.truncate_open(file as i32, size as i64, now()))
}

/// fallocate(2).
pub fn fallocate(libos: &mut Libos, Arguments([file, mode, offset, length, ..]): Arguments) -> SyscallResult {
    let range = (offset as i64, length as i64);
    libos.change(|files, outside| files.allocate(outside, file as i32, mode as u32, range, now()))
}
