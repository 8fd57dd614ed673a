//! Steps on directories with all that is in them, on those that need an index, and on a full volume.

use super::super::{Guest, RDWR};
use super::{Model, Node, Step};
use husk_abi::folder::*;
use husk_ext4::Disk;

/// Names added one after the other, and their length: together more than a block of 4 KiB, beyond which a directory has an index.
const NAMES: usize = 24;
const NAME_LENGTH: usize = 200;
/// Paths of a tree to which no more are added: the file systems have few inodes.
const PATHS: usize = 120;
pub const ENOSPC: u32 = 28;
const O_DSYNC: u32 = 0o10000;

/// Steps that fill a directory with long names, each a moment of its own.
pub(super) fn crowd(directory: usize, first: usize) -> impl Iterator<Item = Step> {
    (first..first + NAMES).map(move |name| Step::Crowd { directory, name })
}

impl Model {
    fn directory(&self, number: usize) -> Option<String> {
        let directories = self.paths(|node| *node == Node::Directory);
        directories.get(number % directories.len().max(1)).cloned()
    }

    /// Renames a directory, whatever is in it, to a free path or to that of an empty directory.
    pub(super) fn move_directory<D: Disk>(&mut self, guest: &mut Guest<D>, from: usize, to: usize) {
        let Some(old) = self.directory(from) else { return };
        let below = format!("{old}/");
        let is_empty = |path: &String| !self.tree.keys().any(|other| other.starts_with(&format!("{path}/")));
        let empty = self.directory(to).filter(|path| to.is_multiple_of(3) && is_empty(path));
        let Some(new) = empty.or_else(|| self.free(to)) else { return };
        if new == old || new.starts_with(&below) {
            return;
        }
        guest.named(RENAME, &old, &new, 0).expect("nothing is in the way");
        self.tree.remove(&new);
        for path in self.paths(|_| true).into_iter().filter(|path| *path == old || path.starts_with(&below)) {
            let node = self.tree.remove(&path).expect("it is there");
            self.tree.insert(format!("{new}{}", &path[old.len()..]), node);
        }
    }

    /// Adds a long name to a directory.
    pub(super) fn long_name<D: Disk>(&mut self, guest: &mut Guest<D>, directory: usize, name: usize) {
        let Some(directory) = self.directory(directory).filter(|_| self.tree.len() < PATHS) else { return };
        let path = format!("{directory}/{:0>NAME_LENGTH$}", name % (2 * NAMES));
        if self.tree.contains_key(&path) {
            return;
        }
        guest.named(SYMLINK, &path, "target", 0).expect("room");
        self.tree.insert(path, Node::Link("target".into()));
    }

    /// Appends to a file until the volume is full, and cuts it to what it was.
    pub(super) fn fill<D: Disk>(&mut self, guest: &mut Guest<D>, file: usize, syncs: bool) {
        let Some((path, file)) = self.file(file) else { return };
        let size = self.files[file].last().map_or(0, Vec::len);
        let (bytes, mut end) = (self.bytes(1_000_000), size);
        let handle = self.handle(guest, &path, file);
        let error = loop {
            match guest.write_at(handle, end as u64, &bytes) {
                Ok(count) => {
                    self.version(file, |contents| contents.extend(&bytes[..count as usize]));
                    end += count as usize;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error, ENOSPC, "{path} at {end}");
        self.release(guest, file, handle);
        guest.truncate(&path, size as u64).expect("it is there");
        self.version(file, |contents| contents.truncate(size));
        if syncs {
            guest.sync(ROOT, false).expect("the disk works");
        }
    }

    /// Returns true if the volume may have been full after this number of writes and flushes of the disk.
    pub fn is_filling(&self, told: usize) -> bool {
        let is_open = self.filling.is_some_and(|first| told >= self.done[first - 1].told);
        let is_within =
            |(first, last): &(usize, usize)| (self.done[first - 1].told..self.done[*last].told).contains(&told);
        is_open || self.fills.iter().any(is_within)
    }

    /// Appends to a file that is open with O_DSYNC. Returns it if something was written.
    pub(super) fn append_durably<D: Disk>(
        &mut self,
        guest: &mut Guest<D>,
        file: usize,
        length: usize,
    ) -> Option<usize> {
        let (path, file) = self.file(file)?;
        let size = self.files[file].last().map_or(0, Vec::len);
        if size > 600_000 {
            return None;
        }
        let bytes = self.bytes(length);
        let handle = guest.open(&path, RDWR | O_DSYNC).expect("it is there");
        assert_eq!(guest.write_at(handle, size as u64, &bytes), Ok(length as u64), "{path}");
        guest.close(handle).expect("it is open");
        self.version(file, |contents| contents.extend(&bytes));
        Some(file)
    }
}
