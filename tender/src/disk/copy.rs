//! Copies a directory of the host into a file system.

use crate::error::{Error, Result};
use crate::identity::Time;
use crate::image::{self, BLOCK, Device};
use crate::progress::Progress;
use crate::source::{self, Found, Opened, Visit};
use rsext4::file::XattrNamespace;
use rsext4::{
    DeviceNumber, Ext4, Ext4ErrorKind, Ext4Result, FileName, FilePermissions, InodeInfo, InodeMetadataUpdate,
    InodeNumber, MountedServices, MutationContext, NoopObserver, SpecialInodeKind, XattrSetMode,
};
use rustix::fs::{FileType, OFlags, Stat};
use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file system.
pub type FileSystem = Ext4<Device, MountedServices<(), NoopObserver>>;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Operations of a transaction. Each operation costs time in proportion to what the transaction has before.
const TRANSACTION: u64 = 128;
/// Blocks in the journal that are written to their places at once.
const JOURNALED: usize = 1024;
/// Bytes of all extended attributes of a file: those that have a block.
const ATTRIBUTES: usize = BLOCK as usize - 36;
/// Directory in which fsck(8) puts files without a name; every file system has one.
pub const LOST_AND_FOUND: &[u8] = b"lost+found";

/// A copy that is being made.
pub struct Copy<'a> {
    /// The file system.
    pub disk: &'a mut FileSystem,
    /// Its device.
    pub device: Device,
    /// Its clock.
    pub time: Time,
    /// Inodes of files with several names, by device and number.
    pub links: HashMap<(u64, u64), InodeNumber>,
    /// Directories from the root to where the walk is.
    pub directories: Vec<InodeNumber>,
    /// What was copied.
    pub progress: Progress,
}

impl Visit for Copy<'_> {
    fn found(&mut self, found: &Found<'_>) -> Result<()> {
        self.progress.add(1, 0);
        let key = (found.status.st_nlink > 1).then(|| source::identity(&found.status));
        if let Some(target) = key.and_then(|key| self.links.get(&key)).copied() {
            return self.make(found, |disk, parent, name| disk.hard_link(target, parent, name)).map(drop);
        }
        let made = match source::kind(&found.status) {
            FileType::RegularFile => self.file(found)?,
            FileType::Symlink => {
                let target = source::target(found)?;
                let context = owner(&found.status);
                let made =
                    self.make(found, |disk, parent, name| disk.create_symlink(context, parent, name, &target))?;
                self.set_times(found.path, made, &found.status, None)?;
                made
            }
            _ => self.special(found)?,
        };
        self.links.extend(key.map(|key| (key, made)));
        Ok(())
    }

    fn enter(&mut self, found: &Found<'_>, directory: &Opened) -> Result<()> {
        self.progress.add(1, 0);
        let own = self.own(found)?;
        let (context, permissions) = (owner(&directory.status), permissions(&directory.status)?);
        let number = match own {
            Some(own) => {
                let owner = Some((context.uid, context.gid));
                let update = InodeMetadataUpdate { owner, ..Default::default() };
                self.attempt(found.path, |disk| disk.update_inode_metadata(own, update))?;
                own
            }
            None => {
                let make = |disk: &mut FileSystem, parent, name: FileName<'_>| {
                    disk.create_directory(context, parent, name, permissions)
                };
                self.make(found, make)?
            }
        };
        self.set_attributes(number, directory)?;
        self.directories.push(number);
        Ok(())
    }

    fn leave(&mut self, directory: &Opened) -> Result<()> {
        let Some(number) = self.directories.pop() else { return Ok(()) };
        let (path, status) = (&directory.path, &directory.status);
        if self.directories.is_empty() {
            let MutationContext { uid, gid, .. } = owner(status);
            let update = InodeMetadataUpdate { owner: Some((uid, gid)), ..Default::default() };
            self.attempt(path, |disk| disk.update_inode_metadata(number, update))?;
            self.set_attributes(number, directory)?;
        }
        self.set_times(path, number, status, Some(permissions(status)?))
    }
}

impl Copy<'_> {
    /// Carries out an operation. If no block is free, those that wait for a commit may be.
    fn attempt<T>(&mut self, path: &Path, mut operation: impl FnMut(&mut FileSystem) -> Ext4Result<T>) -> Result<T> {
        let result = operation(self.disk).or_else(|error| match error.kind() {
            Ext4ErrorKind::NoSpace => self.disk.sync().and_then(|()| operation(self.disk)),
            _ => Err(error),
        });
        let cause = |kind| match kind {
            Ext4ErrorKind::NoSpace => Error::Full,
            kind => Error::about(path.display(), format_args!("cannot be put onto the disk: {kind}")),
        };
        result.map_err(|error| self.device.cause(error, cause))
    }

    /// Makes a name in the directory where the walk is.
    fn make(
        &mut self,
        found: &Found<'_>,
        mut make: impl FnMut(&mut FileSystem, InodeNumber, FileName<'_>) -> Ext4Result<InodeInfo>,
    ) -> Result<InodeNumber> {
        if self.progress.names().is_multiple_of(TRANSACTION) {
            let checkpoints = self.disk.journal_blocks().1 > JOURNALED;
            self.attempt(found.path, |disk| if checkpoints { disk.checkpoint() } else { disk.sync() })?;
        }
        let parent = self.parent();
        self.attempt(found.path, |disk| make(disk, parent, FileName::new(found.name)?)).map(|info| info.number)
    }

    fn parent(&self) -> InodeNumber {
        self.directories.last().copied().unwrap_or(self.disk.root_inode())
    }

    /// Returns the directory that the file system has by itself, if this is it.
    fn own(&mut self, found: &Found<'_>) -> Result<Option<InodeNumber>> {
        if self.directories.len() != 1 || found.name != LOST_AND_FOUND {
            return Ok(None);
        }
        let root = self.disk.root_inode();
        let own = self.attempt(found.path, |disk| disk.lookup_child(root, FileName::new(LOST_AND_FOUND)?))?;
        Ok(own.map(|info| info.number))
    }

    /// Copies a regular file.
    fn file(&mut self, found: &Found<'_>) -> Result<InodeNumber> {
        let opened = Opened::found(found, OFlags::empty())?;
        let (context, permissions) = (owner(&opened.status), permissions(&opened.status)?);
        let number =
            self.make(found, |disk, parent, name| disk.create_regular_file(context, parent, name, permissions))?;
        for part in opened.parts() {
            let part = part?;
            for start in part.clone().step_by(PIECE) {
                self.piece(number, &opened, start..part.end.min(start + PIECE as u64))?;
            }
        }
        // A hole at the end.
        let size = opened.status.st_size.cast_unsigned();
        self.attempt(found.path, |disk| match disk.inode(number)?.size < size {
            true => disk.truncate_inode(number, size),
            false => Ok(()),
        })?;
        opened.check_unchanged()?;
        self.set_attributes(number, &opened)?;
        self.set_times(found.path, number, &opened.status, Some(permissions))?;
        Ok(number)
    }

    /// Copies a part of a file, but for blocks of zeros.
    fn piece(&mut self, number: InodeNumber, opened: &Opened, part: std::ops::Range<u64>) -> Result<()> {
        let mut bytes = vec![0; (part.end - part.start) as usize];
        opened.file.read_exact_at(&mut bytes, part.start).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => source::changed(&opened.path),
            _ => Error::about(opened.path.display(), error),
        })?;
        for run in runs(&bytes, part.start) {
            let start = part.start + run.start as u64;
            self.attempt(&opened.path, |disk| disk.write_inode(number, start, &bytes[run.clone()]))?;
        }
        self.progress.add(0, bytes.len() as u64);
        Ok(())
    }

    /// Makes a FIFO, a socket or a device.
    fn special(&mut self, found: &Found<'_>) -> Result<InodeNumber> {
        let status = &found.status;
        let device = || {
            let (major, minor) = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
            DeviceNumber::new(major, minor)
                .map_err(|_| Error::about(found.path.display(), "ext4 has no such device numbers"))
        };
        let kind = match source::kind(status) {
            FileType::CharacterDevice => SpecialInodeKind::CharacterDevice(device()?),
            FileType::BlockDevice => SpecialInodeKind::BlockDevice(device()?),
            FileType::Fifo => SpecialInodeKind::Fifo,
            FileType::Socket => SpecialInodeKind::Socket,
            _ => return Err(Error::about(found.path.display(), "is of a kind that ext4 does not have")),
        };
        let (context, permissions) = (owner(status), permissions(status)?);
        let number =
            self.make(found, |disk, parent, name| disk.create_special_inode(context, parent, name, permissions, kind))?;
        self.set_times(found.path, number, status, None)?;
        Ok(number)
    }

    /// Copies the extended attributes of the namespace `user`.
    fn set_attributes(&mut self, number: InodeNumber, opened: &Opened) -> Result<()> {
        let attributes = opened.attributes()?;
        let size =
            |(name, value): &(Vec<u8>, Vec<u8>)| 16 + name.len().next_multiple_of(4) + value.len().next_multiple_of(4);
        if attributes.iter().map(size).sum::<usize>() > ATTRIBUTES {
            let what =
                format_args!("its extended attributes take more than {ATTRIBUTES} bytes, all that ext4 has for them");
            return Err(Error::about(opened.path.display(), what));
        }
        attributes.iter().try_for_each(|(name, value)| {
            let user = XattrNamespace::User;
            self.attempt(&opened.path, |disk| disk.set_xattr(number, user, name, value, XattrSetMode::Upsert))
        })
    }

    /// Sets times and permissions, which making and filling a file have changed.
    fn set_times(
        &mut self,
        path: &Path,
        number: InodeNumber,
        status: &Stat,
        permissions: Option<FilePermissions>,
    ) -> Result<()> {
        let read = (status.st_atime, status.st_atime_nsec as u32);
        let changed = (status.st_mtime, status.st_mtime_nsec as u32);
        let [atime, mtime] = self.time.of_file(read, changed).map(Some);
        let update = InodeMetadataUpdate { permissions, atime, mtime, ..Default::default() };
        self.attempt(path, |disk| disk.update_inode_metadata(number, update)).map(drop)
    }
}

/// User and group of a file, as this process sees them.
fn owner(status: &Stat) -> MutationContext {
    MutationContext::new(status.st_uid, status.st_gid, 0, 0)
}

fn permissions(status: &Stat) -> Result<FilePermissions> {
    FilePermissions::new((status.st_mode & 0o7777) as u16).map_err(|error| Error::Refused(error.to_string()))
}

/// Divides bytes that begin at this place of a file into runs of blocks with something in them.
fn runs(bytes: &[u8], start: u64) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = vec![];
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + (BLOCK - (start + at as u64) % BLOCK) as usize);
        if !image::is_zero(&bytes[at..end]) {
            match runs.last_mut().filter(|last| last.end == at) {
                Some(last) => last.end = end,
                None => runs.push(at..end),
            }
        }
        at = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros_are_left_out() {
        let mut bytes = vec![0; 5 * BLOCK as usize + 7];
        assert!(runs(&bytes, 0).is_empty());
        bytes[4095] = 1;
        bytes[4096] = 1;
        bytes[5 * 4096 + 6] = 1;
        assert_eq!(runs(&bytes, 0), [0..2 * 4096, 5 * 4096..5 * 4096 + 7]);
        // Beside the boundaries of blocks of the file.
        assert_eq!(runs(&bytes, 4096 + 1), [4095..4095 + 4096, 4095 + 4 * 4096..5 * 4096 + 7]);
    }
}
