//! Files of the host that go onto a disk: a walk that follows no link, so that nothing outside of the directory is read, whatever
//! becomes of it meanwhile.

use crate::error::{Error, Result};
use crate::signals;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// Flags of every descriptor: neither a FIFO nor a link that takes a file's place meanwhile is waited for or followed.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A name in a directory.
pub struct Found<'a> {
    /// The directory.
    directory: BorrowedFd<'a>,
    /// The name.
    pub name: &'a [u8],
    /// Path for errors.
    pub path: &'a Path,
    /// Status of what has the name.
    pub status: Stat,
}

/// What is done with what a walk finds; names of a directory come in the order of their bytes.
pub trait Visit {
    /// Something that is no directory.
    fn found(&mut self, found: &Found<'_>) -> Result<()>;
    /// A directory, before what is in it.
    fn enter(&mut self, found: &Found<'_>, directory: &Opened) -> Result<()>;
    /// A directory, after what is in it; at the end the first one.
    fn leave(&mut self, directory: &Opened) -> Result<()>;
}

/// An open file or directory.
pub struct Opened {
    /// Its descriptor.
    pub file: File,
    /// Path for errors.
    pub path: PathBuf,
    /// Status when it was opened.
    pub status: Stat,
}

impl Opened {
    /// Opens the directory that a walk begins with.
    pub fn root(path: &Path) -> Result<Self> {
        // The last part of the path may be a link; those below may not.
        let flags = FLAGS.difference(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);
        let opened = Self::at(rustix::fs::CWD, path.as_os_str().as_bytes(), path, flags);
        opened.map_err(|error| Error::about(path.display(), std::io::Error::from(error)))
    }

    /// Opens what a walk has found. `flags` say which kind that may be.
    pub fn found(found: &Found<'_>, flags: OFlags) -> Result<Self> {
        let opened = Self::at(found.directory, found.name, found.path, FLAGS.union(flags));
        let opened = opened.map_err(|error| failed(found.path, error))?;
        match is_same(&opened.status, &found.status) {
            true => Ok(opened),
            false => Err(changed(found.path)),
        }
    }

    /// Opens a path, without a change of its time of access where that is allowed.
    fn at(directory: impl AsFd, name: &[u8], path: &Path, flags: OFlags) -> rustix::io::Result<Self> {
        let open = |flags| rustix::fs::openat(&directory, name, flags, Mode::empty());
        let file = open(flags.union(OFlags::NOATIME)).or_else(|_| open(flags))?;
        let status = rustix::fs::fstat(&file)?;
        Ok(Self { file: File::from(file), path: path.to_owned(), status })
    }

    /// Fails if it has been changed since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        let now = rustix::fs::fstat(&self.file).map_err(|error| failed(&self.path, error))?;
        let state = |status: &Stat| [status.st_ctime, status.st_ctime_nsec as i64, status.st_size];
        match state(&now) == state(&self.status) {
            true => Ok(()),
            false => Err(changed(&self.path)),
        }
    }

    /// Returns the parts of the file that are not holes.
    pub fn parts(&self) -> impl Iterator<Item = Result<Range<u64>>> {
        let size = self.status.st_size.cast_unsigned();
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= size {
                return None;
            }
            let part = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) if start < size => {
                    rustix::fs::seek(&self.file, SeekFrom::Hole(start)).map(|end| start..end.min(size))
                }
                // From here on there are holes only.
                Ok(_) | Err(Errno::NXIO) => return None,
                // A file system that does not know.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(at..size),
                Err(error) => Err(error),
            };
            at = part.as_ref().map_or(size, |part| part.end);
            Some(part.map_err(|error| failed(&self.path, error)))
        })
    }

    /// Returns the extended attributes of the namespace `user`, without their prefix, in the order of their names.
    pub fn attributes(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let failed = |error| failed(&self.path, error);
        if let Ok(0) | Err(Errno::OPNOTSUPP) = rustix::fs::flistxattr_query(&self.file) {
            return Ok(vec![]);
        }
        let mut list = vec![0; 64 << 10];
        let length = rustix::fs::flistxattr(&self.file, &mut list[..]).map_err(failed)?;
        let names = list[..length].split(|byte| *byte == 0).filter_map(|name| name.strip_prefix(b"user."));
        let mut attributes = vec![];
        for name in names {
            let mut value = vec![0; 64 << 10];
            let whole = [b"user.", name].concat();
            let length = rustix::fs::fgetxattr(&self.file, &whole, &mut value[..]).map_err(failed)?;
            value.truncate(length);
            attributes.push((name.to_vec(), value));
        }
        attributes.sort();
        Ok(attributes)
    }

    /// Returns the names in the directory, in the order of their bytes.
    fn names(&self) -> Result<IntoIter<CString>> {
        let failed = |error| failed(&self.path, error);
        let entries = Dir::read_from(&self.file).map_err(failed)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
        let mut names = names.collect::<rustix::io::Result<Vec<_>>>().map_err(failed)?;
        names.retain(|name| ![c".", c".."].contains(&name.as_c_str()));
        names.sort_unstable();
        Ok(names.into_iter())
    }
}

/// Walks through a directory. What has the device and the number of `left_out` is passed over.
pub fn walk(root: Opened, left_out: (u64, u64), visit: &mut impl Visit) -> Result<()> {
    raise_limit();
    let names = root.names()?;
    let mut open = vec![(root, names)];
    while let Some((directory, names)) = open.last_mut() {
        signals::check()?;
        let Some(name) = names.next() else {
            directory.check_unchanged()?;
            visit.leave(directory)?;
            open.pop();
            continue;
        };
        let path = directory.path.join(OsStr::from_bytes(name.as_bytes()));
        let status = rustix::fs::statat(&directory.file, &name, AtFlags::SYMLINK_NOFOLLOW);
        let status = status.map_err(|error| failed(&path, error))?;
        if identity(&status) == left_out {
            continue;
        }
        let found = Found { directory: directory.file.as_fd(), name: name.as_bytes(), path: &path, status };
        if kind(&status) != FileType::Directory {
            visit.found(&found)?;
            continue;
        }
        let below = Opened::found(&found, OFlags::DIRECTORY)?;
        visit.enter(&found, &below)?;
        let names = below.names()?;
        open.push((below, names));
    }
    Ok(())
}

/// Returns the target of a link.
pub fn target(found: &Found<'_>) -> Result<Vec<u8>> {
    let target = rustix::fs::readlinkat(found.directory, found.name, vec![]);
    target.map(CString::into_bytes).map_err(|error| failed(found.path, error))
}

/// Returns what kind of file a status is of.
pub fn kind(status: &Stat) -> FileType {
    FileType::from_raw_mode(status.st_mode)
}

/// Device and number, which two names of one file share.
pub fn identity(status: &Stat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    identity(one) == identity(other) && kind(one) == kind(other)
}

/// A file that is not what it was.
pub fn changed(path: &Path) -> Error {
    Error::about(path.display(), "it changed while it was copied; make the disk again when nothing writes to it")
}

/// An error of a file that was found a moment ago: if it is gone, or of another kind, it has changed.
fn failed(path: &Path, error: Errno) -> Error {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => changed(path),
        _ => Error::about(path.display(), std::io::Error::from(error)),
    }
}

/// Allows as many open files as the system does: each directory of a path is one.
fn raise_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}
