//! Calls on names: making and removing files, directories and links, listing, renaming, the working directory.

use super::arguments::{done, path};
use super::folder::{self, How, Reached};
use super::{Arguments, inotify};
use crate::errno::Errno;
use crate::fs::folder::{Ask, NO_DATA, Place};
use crate::fs::path::PATH_MAXIMUM;
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::Slice;
use alloc::vec::Vec;
use husk::abi::folder::{
    LINK, LIST, MAKE_DIRECTORY, OPEN, READ_LINK, REMOVE_DIRECTORY, RENAME, ROOT, Request, SYMLINK, UNLINK,
};
use linux_raw_sys::general::*;

/// The working directory, as an argument.
const HERE: u64 = AT_FDCWD as u64;

/// Opens a directory of a folder to work in.
const AS_DIRECTORY: Request = Request {
    handle: 0,
    to: 0,
    flags: O_PATH | O_DIRECTORY,
    mode: 0,
    names: [0; 2],
    user: 0,
    group: 0,
    offset: 0,
    count: 0,
    times: [husk::abi::folder::Time { seconds: 0, nanoseconds: 0, reserved: 0 }; 2],
};
/// Most bytes of records of a folder's directory at once.
const LIST_MAXIMUM: u64 = 32 << 10;
/// Fewest bytes that may be asked for: as long as the shortest record.
const LIST_MINIMUM: usize = 24;

/// Position after the last of the records of getdents64(2), which are whole.
fn position_after(records: &[u8]) -> Option<u64> {
    let (mut rest, mut position) = (records, None);
    while let Some(length) = rest.get(16..18) {
        position = rest.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        // No record is shorter than its header.
        rest = rest.get(length.max(19)..).unwrap_or_default();
    }
    position
}

/// mkdir(2).
pub fn mkdir(libos: &mut Libos, Arguments([at, mode, ..]): Arguments) -> SyscallResult {
    mkdirat(libos, Arguments([HERE, at, mode, 0, 0, 0]))
}

/// mkdirat(2).
pub fn mkdirat(libos: &mut Libos, Arguments([directory, at, mode, ..]): Arguments) -> SyscallResult {
    let request = Request { mode: mode as u32 & !libos.files.umask, ..Request::default() };
    match folder::request(libos, directory as i32, path(at)?, How::NAME, MAKE_DIRECTORY, request)? {
        Reached::Folder(_, place) => inotify::made(libos, &place, IN_ISDIR),
        Reached::Elsewhere(directory, path) => done(libos.files.make_directory(directory, &path, mode as u32, now())),
    }
}

/// mknod(2).
pub fn mknod(libos: &mut Libos, Arguments([at, mode, device, ..]): Arguments) -> SyscallResult {
    mknodat(libos, Arguments([HERE, at, mode, device, 0, 0]))
}

/// mknodat(2).
pub fn mknodat(libos: &mut Libos, Arguments([directory, at, mode, device, ..]): Arguments) -> SyscallResult {
    if matches!(mode as u32 & S_IFMT, 0 | S_IFREG) {
        // Only regular files can be made in a folder.
        let flags = O_CREAT | O_EXCL | O_WRONLY;
        let request = Request { flags, mode: mode as u32 & !libos.files.umask, ..Request::default() };
        return match folder::request(libos, directory as i32, path(at)?, How::NAME, OPEN, request)? {
            Reached::Folder(reply, place) => {
                let file = libos.files.opened_in_folder(&place, &reply, flags);
                libos.folders.close(file);
                inotify::made(libos, &place, 0)
            }
            Reached::Elsewhere(directory, path) => {
                done(libos.files.make_node(directory, &path, mode as u32, device, now()))
            }
        };
    }
    let path = path(at)?;
    if libos.files.place(directory as i32, &path, false, false)?.is_some() {
        return Err(Errno::EPERM.into());
    }
    done(libos.files.make_node(directory as i32, &path, mode as u32, device, now()))
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
    let operation = match flags as u32 {
        0 => UNLINK,
        AT_REMOVEDIR => REMOVE_DIRECTORY,
        _ => return Err(Errno::EINVAL.into()),
    };
    let path = path(at)?;
    let was = inotify::before(libos, directory as i32, &path)?;
    match folder::request(libos, directory as i32, path, How::NAME, operation, Request::default())? {
        Reached::Folder(_, place) => inotify::removed(libos, &place, operation == REMOVE_DIRECTORY, was),
        Reached::Elsewhere(directory, path) if operation == UNLINK => done(libos.files.unlink(directory, &path, now())),
        Reached::Elsewhere(directory, path) => done(libos.files.remove_directory(directory, &path, now())),
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
    let request = Request { flags: flags as u32, ..Request::default() };
    let renamed = inotify::before(libos, from as i32, &from_path)?;
    let replaced = inotify::before(libos, to as i32, &to_path)?;
    if let Some([from, to]) = pair(libos, (from as i32, &from_path), (to as i32, &to_path), RENAME, request)? {
        if renamed.is_some() && renamed.map(|file| file.number) == replaced.map(|file| file.number) {
            // Both are names of one file: nothing has been done.
            return Ok(0);
        }
        let is_watched = libos.files.is_folder_watched(from.folder);
        if (is_watched || libos.files.has_open_in_folder(from.folder))
            && let (Some(before), Some(after)) = (folder::real(libos, &from)?, folder::real(libos, &to)?)
        {
            let is_exchange = flags as u32 & RENAME_EXCHANGE != 0;
            if is_watched {
                inotify::renamed(libos, from.folder, [&before, &after], replaced, is_exchange)?;
            }
            libos.files.renamed_in_folder(from.folder, &before, &after, is_exchange);
        }
        return Ok(0);
    }
    done(libos.files.rename((from as i32, &from_path), (to as i32, &to_path), flags as u32, now()))
}

/// link(2).
pub fn link(libos: &mut Libos, Arguments([from, to, ..]): Arguments) -> SyscallResult {
    linkat(libos, Arguments([HERE, from, HERE, to, 0, 0]))
}

/// linkat(2).
pub fn linkat(libos: &mut Libos, Arguments([from, from_at, to, to_at, flags, _]): Arguments) -> SyscallResult {
    let (mut from, to, flags) = (from as i32, to as i32, flags as u32);
    let (mut from_path, to_path) = (path(from_at)?, path(to_at)?);
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if from_path.is_empty() && libos.files.folder_file(from).is_some() {
        // As on Linux without CAP_DAC_READ_SEARCH, also with AT_EMPTY_PATH.
        return Err(Errno::ENOENT.into());
    }
    if flags & AT_SYMLINK_FOLLOW != 0 {
        (from, from_path) = folder::followed(libos, from, from_path)?;
    }
    if let Some(places) = pair(libos, (from, &from_path), (to, &to_path), LINK, Request::default())? {
        return inotify::linked(libos, &places);
    }
    done(libos.files.link((from, &from_path), (to, &to_path), flags, now()))
}

/// symlink(2).
pub fn symlink(libos: &mut Libos, Arguments([target, at, ..]): Arguments) -> SyscallResult {
    symlinkat(libos, Arguments([target, HERE, at, 0, 0, 0]))
}

/// symlinkat(2).
pub fn symlinkat(libos: &mut Libos, Arguments([target, directory, at, ..]): Arguments) -> SyscallResult {
    let (target, at) = (path(target)?, path(at)?);
    if target.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let what = (SYMLINK, Request::default());
    let reached = folder::reach(libos, (directory as i32, at), How::NAME, what, &target, 0)?;
    match reached {
        Reached::Folder(_, place) => inotify::made(libos, &place, 0),
        Reached::Elsewhere(directory, at) => done(libos.files.make_link(&target, directory, &at, now())),
    }
}

/// readlink(2).
pub fn readlink(libos: &mut Libos, Arguments([at, into, length, ..]): Arguments) -> SyscallResult {
    readlinkat(libos, Arguments([HERE, at, into, length, 0, 0]))
}

/// readlinkat(2).
pub fn readlinkat(libos: &mut Libos, Arguments([directory, at, into, length, ..]): Arguments) -> SyscallResult {
    let length = u64::try_from(length as i32).ok().filter(|length| *length > 0).ok_or(Errno::EINVAL)?;
    let target = target_of(libos, directory as i32, path(at)?)?;
    let part = target.get(..length as usize).unwrap_or(&target);
    Slice::new(into, length).copy_in(part)?;
    Ok(part.len() as u64)
}

/// Target of the link at a path.
fn target_of(libos: &mut Libos, directory: i32, path: Vec<u8>) -> Result<Vec<u8>, Stop> {
    let how = How { follow: false, empty: true };
    let what = (READ_LINK, Request::default());
    let reached = folder::reach(libos, (directory, path), how, what, b"", PATH_MAXIMUM)?;
    match reached {
        Reached::Folder(reply, _) => Ok(reply.counted().to_vec()),
        Reached::Elsewhere(directory, path) => Ok(libos.files.read_link(directory, &path)?),
    }
}

/// Makes a request with two paths, if any of them is in a folder; EXDEV if they are not in the same one. Returns their places.
fn pair(
    libos: &mut Libos,
    from: (i32, &[u8]),
    to: (i32, &[u8]),
    operation: u16,
    request: Request,
) -> Result<Option<[Place; 2]>, Stop> {
    let places = (libos.files.place(from.0, from.1, false, false)?, libos.files.place(to.0, to.1, false, false)?);
    let (from, to) = match places {
        (None, None) => return Ok(None),
        (Some(from), Some(to)) if from.folder == to.folder => (from, to),
        _ => return Err(Errno::EXDEV.into()),
    };
    let mut reply = None;
    for at_root in [false, true] {
        let (first, second) = if at_root { (from.whole()?, to.whole()?) } else { (from.path.clone(), to.path.clone()) };
        let (base, to_base) = if at_root { (ROOT, ROOT) } else { (from.base, to.base) };
        let request = Request { handle: base, to: to_base, ..request };
        let ask = Ask { operation, request, number: None, names: [&first, &second], data: NO_DATA };
        let answer = folder::send(libos, from.folder, ask)?;
        let is_outside = answer.answer.error == husk::abi::folder::OUTSIDE;
        reply = Some(answer);
        // What is above the directories may still be in the folder.
        if !is_outside || (from.base == ROOT && to.base == ROOT) {
            break;
        }
    }
    reply.ok_or(Errno::EIO)?.check()?;
    Ok(Some([from, to]))
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
    let mut path = path(at)?;
    if let Some(place) = libos.files.place(AT_FDCWD, &path, true, false)? {
        // The path of the working directory has no links in it.
        path = folder::lead_out(libos, &place, true)?;
    }
    match folder::request(libos, AT_FDCWD, path, How { follow: true, empty: false }, OPEN, AS_DIRECTORY)? {
        Reached::Folder(reply, place) => done(libos.change(|files, _| files.enter_folder(&place, &reply, now()))),
        Reached::Elsewhere(_, path) => done(libos.change(|files, _| files.change_directory(&path))),
    }
}

/// fchdir(2).
pub fn fchdir(libos: &mut Libos, Arguments([file, ..]): Arguments) -> SyscallResult {
    if libos.files.folder_file(file as i32).is_some() {
        let how = How { follow: true, empty: true };
        if let Reached::Folder(reply, place) = folder::request(libos, file as i32, Vec::new(), how, OPEN, AS_DIRECTORY)?
        {
            return done(libos.change(|files, _| files.enter_folder(&place, &reply, now())));
        }
    }
    done(libos.change(|files, _| files.change_directory_to(file as i32)))
}

/// getdents64(2).
pub fn getdents64(libos: &mut Libos, Arguments([file, into, length, ..]): Arguments) -> SyscallResult {
    let into = Slice::new(into, u64::from(length as u32));
    if let Some(opened) = libos.files.folder_file(file as i32) {
        libos.files.check(file as i32)?;
        libos.change(|files, outside| files.await_offset(outside, file as i32))?;
        let offset = libos.files.description(file as i32)?.offset;
        let length = into.length.min(LIST_MAXIMUM) as usize;
        if length < LIST_MINIMUM {
            return Err(Errno::EINVAL.into());
        }
        let reply = folder::about_with(libos, opened, LIST, Request { offset, ..Request::default() }, length)?;
        let records = reply.counted();
        into.copy_in(records)?;
        if let Some(next) = position_after(records) {
            libos.files.set_offset(file as i32, next)?;
        }
        libos.files.report_transfer(file as i32, 1, IN_ACCESS);
        return Ok(records.len() as u64);
    }
    Ok(libos.files.list(file as i32, into, now())?)
}
