//! Calls that open files, read, write, copy and close them.
//!
//! The functions here read arguments from the program's memory, and pass the rest to [`crate::fs`].

use super::arguments::{descriptor, done, path};
use super::folder::{self, How, Reached};
use super::{Arguments, facts, inotify, mapped};
use crate::errno::Errno;
use crate::fs::external::External;
use crate::fs::folder::{Ask, FolderFile, NO_DATA};
use crate::fs::seed::RESOLVER;
use crate::fs::tasks;
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user;
use alloc::vec::Vec;
use husk::abi::folder::{Flags, OPEN, OPEN_FLAGS, ROOT, Request, SEEK, SYNC};
use linux_raw_sys::general::*;

/// open(2).
pub fn open(libos: &mut Libos, Arguments([path, flags, mode, ..]): Arguments) -> SyscallResult {
    openat(libos, Arguments([AT_FDCWD as u64, path, flags, mode, 0, 0]))
}

/// creat(2).
pub fn creat(libos: &mut Libos, Arguments([path, mode, ..]): Arguments) -> SyscallResult {
    open(libos, Arguments([path, u64::from(O_CREAT | O_WRONLY | O_TRUNC), mode, 0, 0, 0]))
}

/// openat(2).
pub fn openat(libos: &mut Libos, Arguments([directory, at, flags, mode, ..]): Arguments) -> SyscallResult {
    if libos.threads.current().opening.is_some() {
        return meet(libos);
    }
    let path = path(at)?;
    if path == RESOLVER {
        libos.change(|files, outside| outside.until_addressed(files, None))?;
    }
    if tasks::concerns(&path) {
        facts::show_tasks(libos)?;
    }
    let (directory, path) = match open_in_folder(libos, directory as i32, path, flags as u32, mode as u32)? {
        Opened::InFolder(descriptor) => return Ok(descriptor as u64),
        Opened::Elsewhere(directory, path) => (directory, path),
    };
    let opened = libos.change(|files, _| files.open(directory, &path, flags as u32, mode as u32, now()))?;
    if let Some(generated) = libos.files.generated(opened) {
        let text = facts::text(libos, generated);
        libos.files.set_text(opened, text)?;
    }
    if let Some(opening) = libos.files.opening(opened) {
        libos.threads.current().opening = Some(opening);
        return meet(libos);
    }
    Ok(opened as u64)
}

/// Outcome of opening a file of a folder.
enum Opened {
    /// Its descriptor.
    InFolder(i32),
    /// The path leads to no folder: directory and path to go on with.
    Elsewhere(i32, Vec<u8>),
}

/// Opens a file, if it is in a folder.
fn open_in_folder(libos: &mut Libos, directory: i32, path: Vec<u8>, flags: u32, mode: u32) -> Result<Opened, Stop> {
    if !libos.files.has_folders() {
        return Ok(Opened::Elsewhere(directory, path));
    }
    libos.files.check_descriptor_free()?;
    libos.files.reserve_close()?;
    let follow = flags & O_NOFOLLOW == 0 && flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL;
    let mode = mode & !libos.files.umask;
    let request = Request { flags: flags & OPEN_FLAGS, mode, ..Request::default() };
    let existed = if flags & O_CREAT != 0 { inotify::before(libos, directory, &path)?.is_some() } else { true };
    match folder::request(libos, directory, path, How { follow, empty: false }, OPEN, request)? {
        Reached::Folder(reply, place) => {
            inotify::opened(libos, &place, flags, reply.answer.attributes.mode, existed)?;
            let opened = libos.change(|files, _| files.open_in_folder(&place, &reply, flags, now()))?;
            Ok(Opened::InFolder(opened))
        }
        Reached::Elsewhere(directory, path) => Ok(Opened::Elsewhere(directory, path)),
    }
}

/// Waits until the other end of a named pipe is open, too.
fn meet(libos: &mut Libos) -> SyscallResult {
    let Libos { files, threads, .. } = libos;
    let thread = threads.current();
    let opening = thread.opening.take().ok_or(Errno::EBADF)?;
    let opened = files.met(opening);
    if let Err(Stop::Block(_)) = opened {
        thread.opening = Some(opening);
    }
    opened
}

/// Closes the file that the current thread's interrupted call had opened.
pub fn give_up_opening(libos: &mut Libos) {
    if let Some(opening) = libos.threads.current().opening.take() {
        // Another thread may have closed it.
        let _ = libos.change(|files, _| files.close(opening.descriptor));
    }
}

/// memfd_create(2).
pub fn memfd_create(libos: &mut Libos, Arguments([name, flags, ..]): Arguments) -> SyscallResult {
    path(name)?;
    if flags as u32 & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let close = if flags as u32 & MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    let flags = O_TMPFILE | O_EXCL | O_RDWR | close;
    descriptor(libos.files.open(AT_FDCWD, b"/dev/shm", flags, 0o777, now()))
}

/// close(2).
pub fn close(libos: &mut Libos, Arguments([file, ..]): Arguments) -> SyscallResult {
    done(libos.change(|files, _| files.close(file as i32)))
}

/// Flags of close_range(2), which the bindings lack.
mod range {
    /// Without effect, because there is only one descriptor table.
    pub const UNSHARE: u32 = 2;
    /// Sets close-on-exec instead of closing.
    pub const CLOSE_ON_EXEC: u32 = 4;
}

/// close_range(2).
pub fn close_range(libos: &mut Libos, Arguments([first, last, flags, ..]): Arguments) -> SyscallResult {
    if flags as u32 & !(range::CLOSE_ON_EXEC | range::UNSHARE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mark = flags as u32 & range::CLOSE_ON_EXEC != 0;
    done(libos.change(|files, _| files.close_range(first as u32, last as u32, mark)))
}

/// lseek(2).
pub fn lseek(libos: &mut Libos, Arguments([file, offset, whence, ..]): Arguments) -> SyscallResult {
    libos.change(|files, outside| files.await_offset(outside, file as i32))?;
    if let Some(opened) = libos.files.folder_file(file as i32)
        && matches!(whence as u32, SEEK_END | SEEK_DATA | SEEK_HOLE)
    {
        libos.files.check(file as i32)?;
        // Bytes stored to a hole are data.
        return mapped::written_back(libos, mapped::is(opened), |libos| {
            let request = Request { flags: whence as u32, offset, ..Request::default() };
            let position = folder::about(libos, opened, SEEK, request)?.answer.position;
            libos.files.set_offset(file as i32, position)?;
            Ok(position)
        });
    }
    if libos.files.is_input_file(file as i32) {
        libos.files.check(file as i32)?;
        return Ok(libos.change(|_, outside| outside.devices().seek_input(offset as i64, whence as u32))?);
    }
    Ok(libos.files.seek(file as i32, offset as i64, whence as u32)?)
}

/// The offset that the program stores at `address`, if that is not null.
fn own_offset(address: u64) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { user::read(address).map(Some) }
}

/// Advances the offset that the program stores at `address`.
fn advance(address: u64, offset: Option<u64>, count: u64) -> Result<(), Errno> {
    offset.map_or(Ok(()), |offset| user::write(address, &offset.wrapping_add(count)))
}

/// sendfile(2).
pub fn sendfile(libos: &mut Libos, Arguments([to, from, at, count, ..]): Arguments) -> SyscallResult {
    let offset = own_offset(at)?;
    if libos.files.folder_file(to as i32).is_some() {
        // As for a file system without: std and others then copy.
        return Err(Errno::EINVAL.into());
    }
    let sent = libos.change(|files, devices| files.send(devices, to as i32, from as i32, offset, count, now()))?;
    advance(at, offset, sent)?;
    Ok(sent)
}

/// copy_file_range(2).
pub fn copy_file_range(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([from, from_at, to, to_at, count, flags]) = arguments;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (from_offset, to_offset) = (own_offset(from_at)?, own_offset(to_at)?);
    if [from, to].iter().any(|file| libos.files.folder_file(*file as i32).is_some()) {
        return Err(Errno::EXDEV.into());
    }
    let (from, to) = ((from as i32, from_offset), (to as i32, to_offset));
    let copied = libos.change(|files, devices| files.copy_range(devices, from, to, count, now()))?;
    advance(from_at, from_offset, copied)?;
    advance(to_at, to_offset, copied)?;
    Ok(copied)
}

/// fdatasync(2).
pub fn sync_data(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    sync(libos, arguments, Flags::DATA_ONLY)
}

/// fsync(2) and similar calls.
pub fn sync_file(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    sync(libos, arguments, Flags::empty())
}

/// sync(2): makes the volumes durable. It has no errors; they stay for a later fsync(2) to tell.
pub fn sync_all(libos: &mut Libos, _: Arguments) -> SyscallResult {
    mapped::written_back(libos, |_| true, sync_volumes)
}

fn sync_volumes(libos: &mut Libos) -> SyscallResult {
    let mut at = 0;
    while let Some(shown) = libos.files.folders().get(at) {
        at += 1;
        if shown.disk.is_some() {
            let (number, request) = (shown.number, Request { handle: ROOT, ..Request::default() });
            let ask = Ask { operation: SYNC, request, number: None, names: [b"", b""], data: NO_DATA };
            folder::send(libos, number, ask)?;
        }
    }
    Ok(0)
}

fn sync(libos: &mut Libos, Arguments([file, ..]): Arguments, flags: Flags) -> SyscallResult {
    if let Some(opened) = libos.files.folder_file(file as i32) {
        libos.files.check(file as i32)?;
        return sync_opened(libos, opened, flags);
    }
    libos.change(|files, outside| files.sync(outside, file as i32))
}

/// Makes a file durable, with what has been stored to its mappings.
fn sync_opened(libos: &mut Libos, file: FolderFile, flags: Flags) -> SyscallResult {
    mapped::written_back(libos, mapped::is(file), |libos| {
        let request = Request { flags: flags.bits(), ..Request::default() };
        folder::about(libos, file, SYNC, request)?;
        Ok(0)
    })
}

/// Makes a mapped file durable, for msync(2).
pub fn sync_mapped(libos: &mut Libos, file: FolderFile) -> SyscallResult {
    sync_opened(libos, file, Flags::DATA_ONLY)
}

/// posix_fadvise(2) and readahead(2): all advice is ignored.
pub fn advise(libos: &mut Libos, Arguments([file, ..]): Arguments) -> SyscallResult {
    done(libos.files.check(file as i32))
}
