//! Requests, carried out on files of the host. The names, numbers and memory of a request are the guest's: names are checked by
//! [`Names`], memory by the queue, and everything else by the host's kernel, whose system calls take any number.

use super::data::PERMISSIONS;
use super::handles::Handles;
use super::locks::{Locks, identity};
use super::paths::{Names, kind};
use super::system::{self, Error};
use super::tree::Tree;
use super::ways::Ways;
use husk_abi::folder::*;
use libc::{EBADF, EEXIST, EINVAL, ENOENT, ENOTDIR, EPERM, EROFS};
use libc::{O_ACCMODE, O_CREAT, O_EXCL, O_PATH, O_RDONLY, O_TMPFILE, O_TRUNC, c_int, c_long, iovec};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// Requests that are carried out so far as one is at a time.
#[derive(Debug)]
pub struct Service {
    pub(super) tree: Tree,
    pub(super) handles: Handles,
    pub(super) ways: Ways,
    pub(super) locks: Locks,
    /// User and group that the guest sees as 0.
    pub(super) owner: (u32, u32),
}

impl Service {
    /// Returns a service of the files in `tree`.
    pub fn new(tree: Tree) -> Self {
        Self {
            tree,
            handles: Handles::default(),
            ways: Ways::default(),
            locks: Locks::default(),
            owner: system::identity(),
        }
    }

    /// Carries out a request with these bytes as its names.
    ///
    /// # Safety
    ///
    /// The kernel may read the memory of `data`, and write to it unless the operation is [`WRITE`].
    #[expect(unsafe_code, reason = "guest memory is named by address")]
    pub unsafe fn answer(&mut self, operation: u16, request: &Request, names: &[u8], data: &[iovec]) -> Answer {
        // SAFETY: the caller guarantees for the memory.
        let done =
            Names::check(request, names).and_then(|names| unsafe { self.carry_out(operation, request, &names, data) });
        done.unwrap_or_else(|error| Answer { error, ..Answer::default() })
    }

    #[expect(unsafe_code, reason = "guest memory is named by address")]
    unsafe fn carry_out(
        &mut self,
        operation: u16,
        request: &Request,
        names: &Names,
        data: &[iovec],
    ) -> Result<Answer, Error> {
        if self.tree.read_only && changes(operation, request) {
            return Err(EROFS as Error);
        }
        match operation {
            CLOSE => self.ways.forget_from(request.handle),
            _ if leads_elsewhere(operation, request) => self.ways.forget(),
            _ => {}
        }
        match operation {
            STAT => self.stat(request, names),
            OPEN => self.open(request, names),
            CLOSE => self.close(request.handle).map(done),
            // SAFETY: the caller guarantees for the memory.
            READ => unsafe { self.read(request, data) },
            // SAFETY: as above.
            WRITE => unsafe { self.write(request, data) },
            // SAFETY: as above.
            LIST => unsafe { self.list(request, data) },
            SET => self.set(request, names).map(done),
            SYNC => self.sync(request).map(done),
            // SAFETY: as above.
            READ_LINK => unsafe { self.read_link(request, names, data) },
            SPACE => self.space(request, names, data).map(done),
            FLOCK => self.flock(request).map(done),
            LOCK | GET_LOCK => self.lock(operation == LOCK, request, data).map(done),
            ALLOCATE => self.allocate(request).map(done),
            SEEK => self.seek(request),
            _ => self.change_names(operation, request, names).map(done),
        }
    }

    fn stat(&mut self, request: &Request, names: &Names) -> Result<Answer, Error> {
        let flags = Flags::from_bits(request.flags).ok_or(EINVAL as Error)?;
        let status = self.look(request.handle, &names.first, !flags.contains(Flags::NO_FOLLOW))?;
        self.note_kind(request.handle, &names.first, &status);
        Ok(Answer { attributes: self.attributes(&status), ..Answer::default() })
    }

    fn open(&mut self, request: &Request, names: &Names) -> Result<Answer, Error> {
        if request.flags & !OPEN_FLAGS != 0 {
            return Err(EINVAL as Error);
        }
        if !self.handles.has_room(self.locks.kept_count()) {
            return Err(libc::EMFILE as Error);
        }
        let flags = request.flags as c_int;
        let (file, status) = match flags & O_CREAT != 0 && self.tree.read_only {
            true => self.open_existing(request.handle, &names.first, flags).map_err(|error| match error {
                error if error == ENOENT as Error => EROFS as Error,
                error => error,
            })?,
            false => self.open_file(request.handle, &names.first, flags, request.mode)?,
        };
        let attributes = self.attributes(&status);
        let identity = (flags & O_PATH == 0).then(|| identity(&status));
        let handle = self.handles.add(file, identity)?;
        Ok(Answer { handle, attributes, ..Answer::default() })
    }

    /// Opens a file that may not be made, by flags that would make it. With O_EXCL nothing is opened: closing it would release locks.
    fn open_existing(&mut self, handle: u32, name: &CStr, flags: c_int) -> Result<(OwnedFd, libc::statx), Error> {
        if flags & O_EXCL != 0 {
            self.look(handle, name, false)?;
            return Err(EEXIST as Error);
        }
        self.open_file(handle, name, flags & !O_CREAT, 0)
    }

    fn close(&mut self, handle: u32) -> Result<(), Error> {
        let file = self.handles.identity(handle)?;
        self.handles.close(handle)?;
        file.into_iter().for_each(|file| self.locks.closed(handle, file));
        Ok(())
    }

    /// Calls that change names.
    fn change_names(&mut self, operation: u16, request: &Request, names: &Names) -> Result<(), Error> {
        if names.first.is_empty() && matches!(operation, MAKE_DIRECTORY | SYMLINK) {
            return Err(EEXIST as Error);
        }
        let (directory, name) = self.parent(request.handle, &names.first)?;
        let directory = system::raw(&directory);
        let named = |number, rest| system::named(number, directory, &name, rest);
        match operation {
            MAKE_DIRECTORY => named(libc::SYS_mkdirat, [(request.mode & PERMISSIONS).into(), 0]),
            UNLINK => named(libc::SYS_unlinkat, [0, 0]),
            REMOVE_DIRECTORY => named(libc::SYS_unlinkat, [libc::AT_REMOVEDIR.into(), 0]),
            SYMLINK => system::symlink(&names.second, directory, &name),
            RENAME | LINK => {
                if operation == LINK && name.to_bytes().ends_with(b"/") {
                    return Err(not_linked(directory, &name));
                }
                if operation == LINK {
                    // Whatever is wrong with the new path, the kernel looks for the old one first.
                    system::status(directory, &name)?;
                }
                let (to, new) = self.parent(request.to, &names.second)?;
                let (number, flags) = match operation {
                    RENAME if request.flags & !(libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE) != 0 => {
                        return Err(EINVAL as Error);
                    }
                    RENAME => (libc::SYS_renameat2, request.flags),
                    _ => (libc::SYS_linkat, 0),
                };
                system::paired(number, (directory, &name), (system::raw(&to), &new), flags)
            }
            _ => Err(EINVAL as Error),
        }
    }

    /// Attributes as the guest sees them.
    fn attributes(&self, status: &libc::statx) -> Attributes {
        let time = |time: libc::statx_timestamp| Time { seconds: time.tv_sec, nanoseconds: time.tv_nsec, reserved: 0 };
        let (user, group) = self.owner;
        Attributes {
            mode: status.stx_mode.into(),
            links: status.stx_nlink,
            user: swapped(status.stx_uid, user),
            group: swapped(status.stx_gid, group),
            number: status.stx_ino,
            size: status.stx_size,
            blocks: status.stx_blocks,
            block_size: status.stx_blksize,
            reserved: 0,
            times: [status.stx_atime, status.stx_mtime, status.stx_ctime, status.stx_btime].map(time),
        }
    }

    /// An open file, for a call that O_PATH does not allow.
    pub(super) fn file(&self, handle: u32) -> Result<c_int, Error> {
        if handle == ROOT { Err(EBADF as Error) } else { self.handles.get(handle) }
    }
}

/// Error of a link to a name with a slash behind it, which linkat(2) would follow, also out of the folder: EPERM for a directory.
fn not_linked(directory: c_int, name: &CStr) -> Error {
    let end = name.to_bytes().iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let name = CString::new(&name.to_bytes()[..end]).unwrap_or_default();
    match system::status(directory, &name) {
        Ok(status) if kind(&status) == libc::S_IFDIR => EPERM as Error,
        Ok(_) => ENOTDIR as Error,
        Err(error) => error,
    }
}

/// Answer without a value.
fn done((): ()) -> Answer {
    Answer::default()
}

/// Exchanges `own` and 0, in both directions.
pub(super) fn swapped(number: u32, own: u32) -> u32 {
    match number {
        0 => own,
        number if number == own => 0,
        number => number,
    }
}

/// Returns true if an operation changes files, for a folder in which that is not allowed.
fn changes(operation: u16, request: &Request) -> bool {
    let flags = request.flags as c_int;
    match operation {
        STAT | CLOSE | READ | LIST | SYNC | READ_LINK | SPACE | FLOCK | LOCK | GET_LOCK | SEEK => false,
        OPEN if flags & O_PATH != 0 => false,
        OPEN => flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0 || flags & O_TMPFILE == O_TMPFILE,
        _ => true,
    }
}

/// Returns true if a path may lead to another directory after an operation, or to none.
fn leads_elsewhere(operation: u16, request: &Request) -> bool {
    match operation {
        UNLINK | REMOVE_DIRECTORY | RENAME => true,
        SET => request.flags & (Flags::MODE | Flags::USER | Flags::GROUP).bits() != 0,
        _ => false,
    }
}

/// Number as an argument of a system call: offsets and lengths beyond the greatest are negative, and refused by the kernel.
pub(super) const fn argument(number: u64) -> c_long {
    number.cast_signed()
}
