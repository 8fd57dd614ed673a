//! From the names in a request to files of the host: each walk is one openat2(2) beneath the folder, so that neither a link nor
//! a rename at the same moment leads out.

use super::data::PERMISSIONS;
use super::service::Service;
use super::system::{self, Error};
use super::ways;
use husk_abi::folder::{NAME_MAXIMUM, OUTSIDE, ROOT, Request};
use libc::{EBUSY, EEXIST, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, ESTALE, EXDEV};
use libc::{
    O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDWR, O_TMPFILE, O_TRUNC,
    c_int,
};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};

/// Bit of `stx_attributes`: something is mounted here (statx(2), since Linux 5.8).
const MOUNT_ROOT: u64 = 0x2000;

/// The names of a request.
#[derive(Debug)]
pub struct Names {
    /// The path.
    pub first: CString,
    /// New path, or target.
    pub second: CString,
}

impl Names {
    /// Checks the names in `bytes`, with these lengths.
    pub fn check(request: &Request, bytes: &[u8]) -> Result<Self, Error> {
        let [first, second] = request.names;
        if first.max(second) > NAME_MAXIMUM {
            return Err(ENAMETOOLONG as Error);
        }
        if bytes.len() != first as usize + second as usize {
            return Err(EINVAL as Error);
        }
        let (first, second) = bytes.split_at(first as usize);
        let name = |bytes: &[u8]| CString::new(bytes).map_err(|_| EINVAL as Error);
        Ok(Self { first: name(first)?, second: name(second)? })
    }
}

/// A file that a request is about.
#[derive(Debug)]
pub enum Target {
    /// Opened for the request.
    Own(OwnedFd),
    /// Open before.
    Open(RawFd),
}

impl Target {
    /// Descriptor of the file.
    pub fn raw(&self) -> RawFd {
        match self {
            Self::Own(file) => system::raw(file),
            Self::Open(file) => *file,
        }
    }
}

impl Service {
    /// Directory at which a path begins.
    fn directory(&self, handle: u32) -> Result<RawFd, Error> {
        if handle == ROOT { Ok(system::raw(&self.tree.root)) } else { self.handles.get(handle) }
    }

    /// Opens the file at a path, for its attributes only.
    pub fn target(&self, handle: u32, name: &CStr, follow: bool) -> Result<Target, Error> {
        match (&self.tree.only, name.is_empty()) {
            (Some((file, _)), true) if handle == ROOT => Ok(Target::Open(system::raw(file))),
            (Some(_), false) => Err(ENOTDIR as Error),
            (_, true) => self.directory(handle).map(Target::Open),
            _ => {
                let flags = if follow { O_PATH } else { O_PATH | O_NOFOLLOW };
                beneath(self.directory(handle)?, name, flags, 0).map(Target::Own)
            }
        }
    }

    /// Opens the directory that holds the last name of a path. Returns also that name, which no call with it follows.
    pub fn parent(&self, handle: u32, path: &CStr) -> Result<(OwnedFd, CString), Error> {
        let bytes = path.to_bytes();
        if bytes.is_empty() {
            return Err(EBUSY as Error);
        }
        if self.tree.only.is_some() {
            return Err(ENOTDIR as Error);
        }
        let end = bytes.iter().rposition(|byte| *byte != b'/').ok_or(OUTSIDE)? + 1;
        let (directory, name) = match bytes[..end].iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&bytes[..=slash], &bytes[slash + 1..]),
            None => (&b"."[..], bytes),
        };
        let string = |bytes: &[u8]| CString::new(bytes).map_err(|_| EINVAL as Error);
        let directory = beneath(self.directory(handle)?, &string(directory)?, O_PATH | O_DIRECTORY, 0)?;
        Ok((directory, string(name)?))
    }

    /// Directory that a path leads through last, and the rest of the path, which is one name; or the directory at which the path
    /// begins, and the whole path.
    fn near<'a>(&mut self, handle: u32, path: &'a CStr) -> Result<(RawFd, &'a CStr), Error> {
        let base = self.directory(handle)?;
        let Some((way, name)) = ways::split(path).filter(|_| self.tree.is_cached && self.tree.only.is_none()) else {
            return Ok((base, path));
        };
        let open = || {
            let way = CString::new(way).map_err(|_| EINVAL as Error)?;
            beneath(base, &way, O_PATH | O_DIRECTORY, 0)
        };
        Ok((self.ways.reach(handle, way, open)?, name))
    }

    /// Attributes of the file at a path.
    pub fn look(&mut self, handle: u32, name: &CStr, follow: bool) -> Result<libc::statx, Error> {
        let (directory, last) = self.near(handle, name)?;
        if is_one(last) && self.tree.only.is_none() {
            let status = system::status(directory, last)?;
            if status.stx_attributes & MOUNT_ROOT != 0 {
                return Err(OUTSIDE);
            }
            if !follow || kind(&status) != libc::S_IFLNK {
                return Ok(status);
            }
        }
        system::status(self.target(handle, name, follow)?.raw(), c"")
    }

    /// Opens a regular file or a directory. Others are not opened, and not waited for: that of a device can have effects.
    pub fn open_file(
        &mut self,
        handle: u32,
        name: &CStr,
        flags: c_int,
        mode: u32,
    ) -> Result<(OwnedFd, libc::statx), Error> {
        if let Some(only) = &self.tree.only {
            let is_it = handle == ROOT && name.is_empty();
            return if is_it { self.open_only(only, flags) } else { Err(ENOTDIR as Error) };
        }
        let mode = if flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE { mode & PERMISSIONS } else { 0 };
        // The kernel refuses to create a name with a slash behind it, whatever is there, and opens nothing.
        let never_opens = flags & O_CREAT != 0 && (flags & O_EXCL != 0 || name.to_bytes().ends_with(b"/"));
        if !never_opens && flags & O_PATH == 0 && !self.ways.is_openable(handle, name) {
            match self.look(handle, name, flags & O_NOFOLLOW == 0) {
                Err(error) if error == ENOENT as Error && flags & O_CREAT != 0 => {}
                status => _ = can_be_opened(status?)?,
            }
        }
        let flags = if flags & O_PATH != 0 { flags } else { flags | O_NONBLOCK | O_NOCTTY };
        let (directory, path) = self.near(handle, if name.is_empty() { c"." } else { name })?;
        let file = match beneath(directory, path, flags, mode) {
            // A link there may lead through the directories above.
            Err(OUTSIDE) if path != name => beneath(self.directory(handle)?, name, flags, mode)?,
            file => file?,
        };
        let status = system::status(system::raw(&file), c"")?;
        if flags & O_PATH == 0 {
            can_be_opened(status)?;
            self.note_kind(handle, name, &status);
        }
        Ok((file, status))
    }

    /// Takes note of a file that can be opened, unless another must be expected at its path at any time.
    pub fn note_kind(&mut self, handle: u32, name: &CStr, status: &libc::statx) {
        if self.tree.is_cached && can_be_opened(*status).is_ok() {
            self.ways.note_openable(handle, name);
        }
    }

    /// Opens the file that the folder is; ESTALE if another has its name now. Nothing is made, nor made empty, before that is known.
    fn open_only(&self, (given, name): &(File, CString), flags: c_int) -> Result<(OwnedFd, libc::statx), Error> {
        if flags & O_DIRECTORY != 0 {
            return Err(ENOTDIR as Error);
        }
        if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
            return Err(EEXIST as Error);
        }
        let (root, known) = (self.directory(ROOT)?, system::status(system::raw(given), c"")?);
        let is_it = |status: &libc::statx| system::is_same(&known, status);
        if !system::status(root, name).is_ok_and(|status| is_it(&status)) {
            return Err(ESTALE as Error);
        }
        let how = match flags & (O_PATH | O_ACCMODE | O_TRUNC) {
            // Made empty by the descriptor below, which Linux does for a file opened to be read, too.
            O_TRUNC => flags | O_RDWR | O_NONBLOCK | O_NOCTTY,
            access if access & O_PATH == 0 => flags | O_NONBLOCK | O_NOCTTY,
            _ => flags,
        };
        let file = system::open_mounted(root, name, how & !(O_CREAT | O_TRUNC) | O_NOFOLLOW)?;
        let status = system::status(system::raw(&file), c"")?;
        if !is_it(&status) {
            return Err(ESTALE as Error);
        }
        if flags & O_TRUNC == 0 || flags & O_PATH != 0 {
            return Ok((file, status));
        }
        system::plain(libc::SYS_ftruncate, system::raw(&file), [0, 0, 0])?;
        let status = system::status(system::raw(&file), c"")?;
        Ok((file, status))
    }
}

/// Opens a path beneath `directory`.
fn beneath(directory: RawFd, path: &CStr, flags: c_int, mode: u32) -> Result<OwnedFd, Error> {
    system::open(directory, path, flags, mode).map_err(|error| if error == EXDEV as Error { OUTSIDE } else { error })
}

/// Returns true for a single name, which no call follows out of its directory.
fn is_one(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    !bytes.is_empty() && !bytes.contains(&b'/') && !matches!(bytes, b"." | b"..")
}

/// Kind of a file: bits of its mode.
pub fn kind(status: &libc::statx) -> u32 {
    u32::from(status.stx_mode) & libc::S_IFMT
}

/// Returns the attributes of a regular file or directory; ELOOP for a link, ENXIO for another file.
fn can_be_opened(status: libc::statx) -> Result<libc::statx, Error> {
    match kind(&status) {
        libc::S_IFREG | libc::S_IFDIR => Ok(status),
        libc::S_IFLNK => Err(ELOOP as Error),
        _ => Err(ENXIO as Error),
    }
}
