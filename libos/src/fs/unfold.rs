//! Unfolding of directories in the image's tree ([`super::tree`]), and of those of the host ([`super::host`]).

use super::Files;
use super::directory::{Directory, Folded};
use super::handle::NodeKey;
use super::inode::{Inode, Kind, Mount, Time, Times};
use super::tree::Tree;
use crate::errno::Errno;
use husk::abi::files::{Entry, kind};

impl Files {
    /// Makes sure that the entries of `directory`, if it is a directory, are inodes.
    #[inline]
    pub(super) fn unfold(&mut self, directory: NodeKey) -> Result<(), Errno> {
        match self.nodes[directory].directory() {
            Some(Directory { folded: None, host: None, .. }) | None => Ok(()),
            Some(_) => self.unfold_entries(directory),
        }
    }

    #[cold]
    fn unfold_entries(&mut self, directory: NodeKey) -> Result<(), Errno> {
        self.list_host_directory(directory)?;
        let folded = self.nodes[directory].directory().and_then(|entries| entries.folded);
        let Some(folded) = folded else { return Ok(()) };
        let tree = self.tree.ok_or(Errno::EIO)?;
        for number in tree.entries_in(folded.entry)? {
            let entry = tree.entry(number)?;
            let name = tree.name(&entry)?;
            let found = self.nodes[directory].directory().and_then(|entries| entries.get(name));
            match found {
                Some(found) => self.merge(directory, name, found, number, &entry, tree)?,
                None => self.unfold_entry(directory, name, number, &entry, tree)?,
            }
        }
        let inode = &mut self.nodes[directory];
        // Each subdirectory has been counted again.
        inode.links -= folded.counted;
        if let Some(entries) = inode.directory_mut() {
            entries.folded = None;
        }
        Ok(())
    }

    fn unfold_entry(
        &mut self,
        directory: NodeKey,
        name: &[u8],
        number: u64,
        entry: &Entry,
        tree: Tree,
    ) -> Result<(), Errno> {
        let node = self.bring(directory, number, entry, tree)?;
        let parent = &mut self.nodes[directory];
        let added = match parent.directory_mut() {
            Some(entries) => entries.insert_anyway(&mut self.quota, name, node),
            None => Err(Errno::ENOTDIR),
        };
        if added.is_err() {
            self.release(node);
        } else if entry.mode & kind::MASK == kind::DIRECTORY {
            self.nodes[directory].links += 1;
        }
        added
    }

    /// Makes an inode for an entry, with one reference, for its name.
    fn bring(&mut self, directory: NodeKey, number: u64, entry: &Entry, tree: Tree) -> Result<NodeKey, Errno> {
        let kind = tree.kind(number, entry, directory)?;
        let is_directory = kind.is_directory();
        let nanoseconds = entry.nanoseconds.min(999_999_999);
        let time = Time { seconds: entry.seconds, nanoseconds };
        let mut inode = Inode::new(self.next_number, kind, Mount::Memory, entry.mode, time);
        inode.links = if is_directory { entry.directories.saturating_add(2) } else { 1 };
        inode.times = Times::all(time);
        inode.home = Some((directory, self.nodes[directory].number));
        self.quota.take_anyway(inode.cost());
        let node = self.nodes.insert(inode)?;
        self.next_number += 1;
        if is_directory {
            self.nodes.retain(directory);
        }
        Ok(node)
    }

    /// Merges an entry of the image with an existing file of its name: directories are joined, and a file of the image replaces
    /// the other.
    fn merge(
        &mut self,
        directory: NodeKey,
        name: &[u8],
        found: NodeKey,
        number: u64,
        entry: &Entry,
        tree: Tree,
    ) -> Result<(), Errno> {
        let is_directory = entry.mode & kind::MASK == kind::DIRECTORY;
        match &mut self.nodes[found].kind {
            Kind::Directory(entries) if is_directory && entry.length > 0 => {
                entries.folded = Some(Folded { entry: number, counted: 0 });
            }
            Kind::Regular(_) | Kind::Host(_) if !is_directory => {
                let node = self.bring(directory, number, entry, tree)?;
                if let Some(entries) = self.nodes[directory].directory_mut() {
                    entries.replace(name, node);
                }
                let now = self.nodes[found].times.changed;
                self.unlinked(directory, found, now);
            }
            _ => {}
        }
        Ok(())
    }
}
