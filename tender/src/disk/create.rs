//! Makes a disk: a file with an ext4 file system in it.

use crate::copy::{Copy, FileSystem, LOST_AND_FOUND};
use crate::error::{Error, Result};
use crate::fit::{self, Measure};
use crate::identity::Identity;
use crate::image::{BLOCK, Device};
use crate::progress::{Bytes, Progress};
use crate::source::{self, Opened};
use rsext4::{
    Ext4, Ext4Result, FileExtentTarget, FileName, FilePermissions, InodeMetadataUpdate, InodeNumber, MkfsOptions,
    MountOptions, MountServices, NoopObserver,
};
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a label.
const LABEL: usize = 16;
/// Inode of the journal.
const JOURNAL: u32 = 8;

/// A disk to be made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Directory that is copied onto the disk.
    pub from: Option<PathBuf>,
    /// Label of the file system.
    pub label: Vec<u8>,
}

/// A file that is removed unless it is finished.
struct Unfinished<'a> {
    path: &'a Path,
    file: File,
    is_finished: bool,
}

impl<'a> Unfinished<'a> {
    /// Makes a file that is not there yet, and locks it as `husk run` locks disks.
    fn new(path: &'a Path, size: u64) -> Result<Self> {
        let about = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::about(path.display(), "is there already; name another file, or remove this one")
            }
            _ => Error::about(path.display(), error),
        };
        let file = File::options().read(true).write(true).create_new(true).open(path).map_err(about)?;
        let made = Self { path, file, is_finished: false };
        made.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::about(path.display(), "another process has taken it"),
            TryLockError::Error(error) => about(error),
        })?;
        made.file.set_len(size).map_err(about)?;
        Ok(made)
    }

    fn metadata(&self) -> Result<fs::Metadata> {
        self.file.metadata().map_err(|error| Error::about(self.path.display(), error))
    }

    /// Keeps the file: its name, too, is on the host's disk.
    fn finish(mut self) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A folder that may be written but not read cannot be opened.
        if let Ok(folder) = File::open(folder) {
            folder.sync_all().map_err(|error| Error::about(self.path.display(), error))?;
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let same = |(one, other): (fs::Metadata, fs::Metadata)| (one.dev(), one.ino()) == (other.dev(), other.ino());
        let is_ours =
            || fs::symlink_metadata(self.path).and_then(|there| Ok((there, self.file.metadata()?))).is_ok_and(same);
        if !self.is_finished && is_ours() {
            let _ = fs::remove_file(self.path);
        }
    }
}

impl Create {
    /// Makes the disk. Returns a line that describes it.
    pub fn carry_out(&self) -> Result<String> {
        self.check()?;
        let source = || self.from.as_deref().map(Opened::root).transpose();
        // Before a file is made for nothing; and again, because that file may change the directory.
        source()?;
        let file = Unfinished::new(&self.file, self.size)?;
        let itself = file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))?;
        let names = match self.fill(&file, source()?, itself) {
            Err(Error::Full) => return Err(self.too_small(itself)),
            other => other?,
        };
        let used = file.metadata()?.blocks() * 512;
        file.finish()?;
        let files = if names == 1 { "1 file".to_owned() } else { format!("{names} files") };
        Ok(format!("{}: {}, {files}, {} used", self.file.display(), Bytes(self.size), Bytes(used)))
    }

    fn check(&self) -> Result<()> {
        let refused = |what| Err(Error::Refused(format!("{what}, not {}", Bytes(self.size))));
        if self.size < fit::LEAST {
            return refused(format!("a disk has at least {}", Bytes(fit::LEAST)));
        }
        if self.size > fit::MOST {
            return refused("a disk has less than 16T".to_owned());
        }
        if !self.size.is_multiple_of(BLOCK) {
            return Err(Error::Refused(format!("the size of a disk is a multiple of {BLOCK}, not {}", self.size)));
        }
        if self.label.len() > LABEL || self.label.contains(&0) {
            return Err(Error::Refused(format!("--label: a label has at most {LABEL} bytes")));
        }
        Ok(())
    }

    /// Fills the file. Returns the number of names copied.
    fn fill(&self, file: &Unfinished<'_>, source: Option<Opened>, itself: (u64, u64)) -> Result<u64> {
        let identity = Identity::new(self.size, &self.label)?;
        let handle = file.file.try_clone().map_err(|error| Error::about(self.file.display(), error))?;
        let failed = |kind| Error::about(self.file.display(), format_args!("the file system cannot be made: {kind}"));
        let device = Device::new(handle, &self.file, fit::blocks(self.size));
        let mut disk = self.format(&device, &identity).map_err(|error| device.cause(error, failed))?;
        let root = disk.root_inode();
        let mut copy = Copy {
            disk: &mut disk,
            device: device.clone(),
            time: identity.time,
            links: HashMap::new(),
            directories: vec![root],
            progress: Progress::new(),
        };
        if let Some(source) = source {
            source::walk(source, itself, &mut copy)?;
        }
        let names = copy.progress.names();
        drop(copy);
        let journal = close(disk).map_err(|error| device.cause(error, failed))?;
        journal.into_iter().try_for_each(|(start, length)| device.clear(start, length))?;
        device.finish()?;
        Ok(names)
    }

    /// Makes an empty file system and opens it.
    fn format(&self, device: &Device, identity: &Identity) -> Ext4Result<FileSystem> {
        let mut label = [0; LABEL];
        label[..self.label.len()].copy_from_slice(&self.label);
        let Identity { uuid, hash_seed, time } = *identity;
        let options = MkfsOptions { uuid, hash_seed, label, block_size: BLOCK as u32, inode_size: 256 };
        let device = rsext4::format(device.clone(), time, options)?;
        let services = MountServices::new(time, (), NoopObserver);
        let mut disk = Ext4::mount(device, services, MountOptions::read_write())?;
        // As mke2fs(8) makes it.
        let lost = disk.lookup_child(disk.root_inode(), FileName::new(LOST_AND_FOUND)?)?;
        if let Some(lost) = lost {
            let permissions = Some(FilePermissions::new(0o700)?);
            disk.update_inode_metadata(lost.number, InodeMetadataUpdate { permissions, ..Default::default() })?;
        }
        Ok(disk)
    }

    /// Says in which size the files would have fitted.
    fn too_small(&self, itself: (u64, u64)) -> Error {
        let Some(from) = &self.from else { return Error::Full };
        let need = Opened::root(from).and_then(|root| Measure::of(root, itself));
        need.map_or_else(
            |error| error,
            |need| {
                let (least, from) = (need.size() >> 20, from.display());
                Error::Refused(format!("{from}: does not fit into {}; make the disk {least}M large", Bytes(self.size)))
            },
        )
    }
}

/// Closes the file system. Returns the parts of the device in which the journal was: all of it has its place.
fn close(mut disk: FileSystem) -> Ext4Result<Vec<(u64, u64)>> {
    disk.checkpoint()?;
    let journal = InodeNumber::new(JOURNAL)?;
    let size = disk.inode(journal)?.size;
    let map = disk.inode_extents(journal, 0, size, FileExtentTarget::Data, usize::MAX)?;
    disk.unmount()?;
    // The first block describes the journal.
    let log = map.extents.into_iter().map(|extent| {
        let first = BLOCK.saturating_sub(extent.logical_start).min(extent.length);
        (extent.physical_start + first, extent.length - first)
    });
    Ok(log.filter(|(_, length)| *length > 0).collect())
}
