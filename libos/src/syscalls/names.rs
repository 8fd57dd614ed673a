//! Calls on names: making and removing files, directories and links, listing, renaming, the working directory.

use super::Arguments;
use super::arguments::{done, path};
use crate::errno::Errno;
use crate::fs::path::PATH_MAXIMUM;
use crate::state::{Libos, now};
use crate::syscall_result::SyscallResult;
use crate::user::Slice;
use linux_raw_sys::general::*;

/// The working directory, as an argument.
const HERE: u64 = AT_FDCWD as u64;

/// mkdir(2).
pub fn mkdir(libos: &mut Libos, Arguments([at, mode, ..]): Arguments) -> SyscallResult {
    mkdirat(libos, Arguments([HERE, at, mode, 0, 0, 0]))
}

/// mkdirat(2).
pub fn mkdirat(libos: &mut Libos, Arguments([directory, at, mode, ..]): Arguments) -> SyscallResult {
    done(libos.files.make_directory(directory as i32, &path(at)?, mode as u32, now()))
}

/// mknod(2).
pub fn mknod(libos: &mut Libos, Arguments([at, mode, device, ..]): Arguments) -> SyscallResult {
    mknodat(libos, Arguments([HERE, at, mode, device, 0, 0]))
}

/// mknodat(2).
pub fn mknodat(libos: &mut Libos, Arguments([directory, at, mode, device, ..]): Arguments) -> SyscallResult {
    done(libos.files.make_node(directory as i32, &path(at)?, mode as u32, device, now()))
}

/// rmdir(2).
pub fn rmdir(libos: &mut Libos, Arguments([at, ..]): Arguments) -> SyscallResult {
    unlinkat(libos, Arguments([HERE, at, u64::from(AT_REMOVEDIR), 0, 0, 0]))
}

/// unlink(2).
pub fn unlink(libos: &mut Libos, Arguments([at, ..]): Arguments) -> SyscallResult {
    unlinkat(libos, Arguments([HERE, at, 0, 0, 0, 0]))
}

/// unlinkat(2).
pub fn unlinkat(libos: &mut Libos, Arguments([directory, at, flags, ..]): Arguments) -> SyscallResult {
    let directory = directory as i32;
    match flags as u32 {
        0 => done(libos.files.unlink(directory, &path(at)?, now())),
        AT_REMOVEDIR => done(libos.files.remove_directory(directory, &path(at)?, now())),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// rename(2).
pub fn rename(libos: &mut Libos, Arguments([from, to, ..]): Arguments) -> SyscallResult {
    renameat2(libos, Arguments([HERE, from, HERE, to, 0, 0]))
}

/// renameat(2).
pub fn renameat(libos: &mut Libos, Arguments([from, from_at, to, to_at, ..]): Arguments) -> SyscallResult {
    renameat2(libos, Arguments([from, from_at, to, to_at, 0, 0]))
}

/// renameat2(2).
pub fn renameat2(libos: &mut Libos, Arguments([from, from_at, to, to_at, flags, _]): Arguments) -> SyscallResult {
    let (from_path, to_path) = (path(from_at)?, path(to_at)?);
    done(libos.files.rename((from as i32, &from_path), (to as i32, &to_path), flags as u32, now()))
}

/// link(2).
pub fn link(libos: &mut Libos, Arguments([from, to, ..]): Arguments) -> SyscallResult {
    linkat(libos, Arguments([HERE, from, HERE, to, 0, 0]))
}

/// linkat(2).
pub fn linkat(libos: &mut Libos, Arguments([from, from_at, to, to_at, flags, _]): Arguments) -> SyscallResult {
    let (from_path, to_path) = (path(from_at)?, path(to_at)?);
    done(libos.files.link((from as i32, &from_path), (to as i32, &to_path), flags as u32, now()))
}

/// symlink(2).
pub fn symlink(libos: &mut Libos, Arguments([target, at, ..]): Arguments) -> SyscallResult {
    symlinkat(libos, Arguments([target, HERE, at, 0, 0, 0]))
}

/// symlinkat(2).
pub fn symlinkat(libos: &mut Libos, Arguments([target, directory, at, ..]): Arguments) -> SyscallResult {
    let (target, at) = (path(target)?, path(at)?);
    done(libos.files.make_link(&target, directory as i32, &at, now()))
}

/// readlink(2).
pub fn readlink(libos: &mut Libos, Arguments([at, into, length, ..]): Arguments) -> SyscallResult {
    readlinkat(libos, Arguments([HERE, at, into, length, 0, 0]))
}

/// readlinkat(2).
pub fn readlinkat(libos: &mut Libos, Arguments([directory, at, into, length, ..]): Arguments) -> SyscallResult {
    let length = u64::try_from(length as i32).ok().filter(|length| *length > 0).ok_or(Errno::EINVAL)?;
    let target = libos.files.read_link(directory as i32, &path(at)?)?;
    let part = target.get(..length as usize).unwrap_or(&target);
    Slice::new(into, length).copy_in(part)?;
    Ok(part.len() as u64)
}

/// getcwd(2): returns the length with the NUL.
pub fn getcwd(libos: &mut Libos, Arguments([into, length, ..]): Arguments) -> SyscallResult {
    let mut path = libos.files.working_directory()?;
    path.push(0);
    if path.len() > PATH_MAXIMUM {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if path.len() as u64 > length {
        return Err(Errno::ERANGE.into());
    }
    Slice::new(into, length).copy_in(&path)?;
    Ok(path.len() as u64)
}

/// chdir(2).
pub fn chdir(libos: &mut Libos, Arguments([at, ..]): Arguments) -> SyscallResult {
    let path = path(at)?;
    done(libos.change(|files, _| files.change_directory(&path)))
}

/// fchdir(2).
pub fn fchdir(libos: &mut Libos, Arguments([file, ..]): Arguments) -> SyscallResult {
    done(libos.files.change_directory_to(file as i32))
}

/// getdents64(2).
pub fn getdents64(libos: &mut Libos, Arguments([file, into, length, ..]): Arguments) -> SyscallResult {
    let into = Slice::new(into, u64::from(length as u32));
    Ok(libos.files.list(file as i32, into, now())?)
}
