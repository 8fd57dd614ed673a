//! Calls of inotify(7), and reports of what the program does in folders of the host and on mounted disks.
//!
//! Files in memory report by themselves ([`crate::fs::report`]). For a folder, the call that has changed it reports: it asks for the
//! path without links, by which watches know a file there, but only if anything in that folder is watched.

use super::Arguments;
use super::arguments::{descriptor, done, path};
use super::folder::{self, How, Reached};
use crate::errno::Errno;
use crate::fs::folder::{Ask, NO_DATA, Place, joined};
use crate::fs::marks::Of;
use crate::notices::{self, notice};
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use alloc::vec::Vec;
use husk::abi::folder::{Attributes, Flags, ROOT, Request, STAT};
use linux_raw_sys::general::*;

/// inotify_init(2).
pub fn inotify_init(libos: &mut Libos, _: Arguments) -> SyscallResult {
    inotify_init1(libos, Arguments([0; 6]))
}

/// inotify_init1(2).
pub fn inotify_init1(libos: &mut Libos, Arguments([flags, ..]): Arguments) -> SyscallResult {
    descriptor(libos.files.inotify(flags as u32, now()))
}

/// inotify_add_watch(2).
pub fn inotify_add_watch(libos: &mut Libos, Arguments([file, at, mask, ..]): Arguments) -> SyscallResult {
    let mask = mask as u32;
    let queue = libos.files.inotify_node(file as i32, mask)?;
    let follow = mask & IN_DONT_FOLLOW == 0;
    let flags = if follow { Flags::empty() } else { Flags::NO_FOLLOW };
    let request = Request { flags: flags.bits(), ..Request::default() };
    match folder::request(libos, AT_FDCWD, path(at)?, How { follow, empty: false }, STAT, request)? {
        Reached::Folder(reply, place) => {
            if mask & IN_ONLYDIR != 0 && reply.answer.attributes.mode & S_IFMT != S_IFDIR {
                return Err(Errno::ENOTDIR.into());
            }
            let path = resolved(libos, &place, follow)?.ok_or(Errno::ENOENT)?;
            // The queue may have been closed while the call waited.
            let queue = libos.files.inotify_node(file as i32, mask)?;
            if libos.files.folder(place.folder).is_some_and(|folder| folder.disk.is_none()) {
                notices::give_once(notice::WATCH_LIMITED, __NR_inotify_add_watch.into());
            }
            descriptor(libos.files.watch_file(queue, Of::InFolder(place.folder, &path), mask))
        }
        Reached::Elsewhere(directory, path) => descriptor(libos.files.watch(queue, directory, &path, mask)),
    }
}

/// inotify_rm_watch(2).
pub fn inotify_rm_watch(libos: &mut Libos, Arguments([file, watch, ..]): Arguments) -> SyscallResult {
    done(libos.change(|files, _| files.unwatch(file as i32, watch as i32)))
}

/// Path of a file from the root of its folder, without links and `..`; `None` if it cannot be found.
fn resolved(libos: &mut Libos, place: &Place, follow: bool) -> Result<Option<Vec<u8>>, Stop> {
    let path = match folder::lead_out(libos, place, follow) {
        Ok(path) => path,
        Err(Stop::Errno(_)) => return Ok(None),
        Err(wait) => return Err(wait),
    };
    let mount = libos.files.folder(place.folder).map_or(&[][..], |folder| &folder.path);
    Ok(path.strip_prefix(mount).map(|path| joined(path.strip_prefix(b"/").unwrap_or(path), b"")).transpose()?)
}

/// Attributes of the file at a path, which the call is about to change; `None` if there is none, or the path leads to no folder in
/// which anything is watched.
pub fn before(libos: &mut Libos, directory: i32, path: &[u8]) -> Result<Option<Attributes>, Stop> {
    let thread = libos.threads.current().id;
    // A restarted call makes the same requests again, though the last watch may have ended meanwhile.
    if !libos.files.has_folders() || !(libos.files.is_watched() || libos.folders.has_call(thread)) {
        return Ok(None);
    }
    let Some(Place { folder, base, path, .. }) = libos.files.place(directory, path, false, false)? else {
        return Ok(None);
    };
    let is_watched = libos.files.is_folder_watched(folder);
    if !libos.folders.decide(thread, is_watched)? {
        return Ok(None);
    }
    let request = Request { handle: base, flags: Flags::NO_FOLLOW.bits(), ..Request::default() };
    let ask = Ask { operation: STAT, request, number: None, names: [&path, b""], data: NO_DATA };
    let reply = folder::send(libos, folder, ask)?;
    Ok(reply.check().ok().map(|reply| reply.answer.attributes))
}

/// Path of a place in a folder in which something is watched.
fn watched(libos: &mut Libos, place: &Place, follow: bool) -> Result<Option<Vec<u8>>, Stop> {
    if libos.files.is_folder_watched(place.folder) { resolved(libos, place, follow) } else { Ok(None) }
}

/// Returns true if there is a directory at a path of a folder.
fn is_directory(libos: &mut Libos, folder: u32, path: &[u8]) -> Result<bool, Stop> {
    let request = Request { handle: ROOT, flags: Flags::NO_FOLLOW.bits(), ..Request::default() };
    let ask = Ask { operation: STAT, request, number: None, names: [path, b""], data: NO_DATA };
    Ok(folder::send(libos, folder, ask)?.answer.attributes.mode & S_IFMT == S_IFDIR)
}

/// Reports a new name in a folder; `bit` is `IN_ISDIR` for a directory.
pub fn made(libos: &mut Libos, place: &Place, bit: u32) -> SyscallResult {
    if let Some(path) = watched(libos, place, false)? {
        libos.files.report_name_in_folder(place.folder, &path, IN_CREATE | bit, 0);
    }
    Ok(0)
}

/// Reports another name of a file in a folder.
pub fn linked(libos: &mut Libos, [from, to]: &[Place; 2]) -> SyscallResult {
    if let Some(path) = watched(libos, from, false)? {
        libos.files.report_self_in_folder(from.folder, &path, IN_ATTRIB);
    }
    made(libos, to, 0)
}

/// Reports that a name in a folder is gone, of a file that had these attributes.
pub fn removed(libos: &mut Libos, place: &Place, was_directory: bool, was: Option<Attributes>) -> SyscallResult {
    let Some(path) = watched(libos, place, false)? else { return Ok(0) };
    let (files, folder) = (&mut libos.files, place.folder);
    if !was_directory {
        files.report_self_in_folder(folder, &path, IN_ATTRIB);
    }
    if was_directory || was.is_none_or(|was| was.links <= 1) {
        files.end_marks(Of::InFolder(folder, &path), IN_DELETE_SELF);
    }
    files.report_name_in_folder(folder, &path, IN_DELETE | if was_directory { IN_ISDIR } else { 0 }, 0);
    Ok(0)
}

/// Reports a rename in a folder, which has replaced a file that had these attributes, or exchanged two.
pub fn renamed(
    libos: &mut Libos,
    folder: u32,
    [from, to]: [&[u8]; 2],
    replaced: Option<Attributes>,
    is_exchange: bool,
) -> Result<(), Stop> {
    let of_from = is_directory(libos, folder, to)?;
    let of_to = if is_exchange { is_directory(libos, folder, from)? } else { false };
    let files = &mut libos.files;
    files.report_rename_in_folder(folder, from, to, of_from);
    if is_exchange {
        files.report_self_in_folder(folder, from, IN_MOVE_SELF);
        files.report_rename_in_folder(folder, to, from, of_to);
        files.report_self_in_folder(folder, to, IN_MOVE_SELF);
    } else {
        if replaced.is_some() {
            files.report_self_in_folder(folder, to, IN_ATTRIB);
        }
        files.report_self_in_folder(folder, from, IN_MOVE_SELF);
        // Another file has the path now, whatever had it before.
        let is_gone = replaced.is_none_or(|replaced| replaced.links <= 1 || of_from);
        files.end_marks(Of::InFolder(folder, to), if is_gone { IN_DELETE_SELF } else { 0 });
    }
    files.move_marks_in_folder(folder, from, to, is_exchange);
    Ok(())
}

/// Reports an opened file of a folder: also that it is new, or has been emptied.
pub fn opened(libos: &mut Libos, place: &Place, flags: u32, mode: u32, existed: bool) -> Result<(), Stop> {
    if flags & (O_PATH | __O_TMPFILE) != 0 {
        return Ok(());
    }
    let Some(path) = watched(libos, place, flags & O_NOFOLLOW == 0)? else { return Ok(()) };
    let is_new = flags & O_CREAT != 0 && !existed;
    if is_new {
        libos.files.report_name_in_folder(place.folder, &path, IN_CREATE, 0);
    }
    libos.files.report_in_folder(place.folder, &path, IN_OPEN, mode & S_IFMT == S_IFDIR);
    if flags & O_TRUNC != 0 && !is_new {
        libos.files.report_in_folder(place.folder, &path, IN_MODIFY, false);
    }
    Ok(())
}

/// Reports changed attributes of a file of a folder.
pub fn changed(libos: &mut Libos, place: &Place, follow: bool, what: Flags) -> Result<(), Stop> {
    let Some(path) = watched(libos, place, follow)? else { return Ok(()) };
    let accessed = what.intersects(Flags::ACCESSED | Flags::ACCESSED_NOW);
    let modified = what.intersects(Flags::MODIFIED | Flags::MODIFIED_NOW);
    let event = match (accessed, modified) {
        _ if what.contains(Flags::SIZE) => IN_MODIFY,
        (true, false) => IN_ACCESS,
        (false, true) => IN_MODIFY,
        _ => IN_ATTRIB,
    };
    let is_directory = is_directory(libos, place.folder, &path)?;
    libos.files.report_in_folder(place.folder, &path, event, is_directory);
    Ok(())
}
