//! Files of the host ([`husk::abi::host_file`]), below those that the program makes.
//!
//! Such a file is a name with its path on the host ([`Kind::Host`]) until a walk first leads to it; then its contents are read, and it
//! is an ordinary file, which the program may change: the host's stays as it is. A directory is listed when a walk or a listing
//! first reaches it. Files of the image replace those of the host.

use super::Files;
use super::data::{Data, PAGE};
use super::directory::{Directory, NAME_MAXIMUM, boxed};
use super::handle::NodeKey;
use super::inode::{Inode, Kind, Time};
use super::path::Follow;
use super::source::Source;
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use husk::abi::host_file::kind;
use linux_raw_sys::general as linux;

/// Contents of what lies at a path.
#[derive(Debug)]
pub enum Contents {
    /// Contents of a regular file.
    File(Vec<u8>),
    /// Records of a directory's entries.
    Directory(Vec<u8>),
    /// Target of a link.
    Link(Vec<u8>),
}

/// Function that reads what lies at a path.
pub type Read = fn(&[u8]) -> Result<Contents, Errno>;

/// Files that the host offers.
#[derive(Debug)]
pub struct HostFiles {
    /// Their paths; a directory ends in `/`.
    pub paths: Vec<&'static [u8]>,
    /// Reader of their contents.
    pub read: Read,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self { paths: Vec::new(), read: |_| Err(Errno::ENOENT) }
    }
}

impl HostFiles {
    /// Returns true if the host offers this file.
    pub fn offers(&self, path: &[u8]) -> bool {
        self.paths.contains(&path)
    }
}

impl Files {
    /// Adds the names of the host's files. One that cannot be added, because the path has another meaning here, is left out.
    pub(super) fn seed_host_files(&mut self, now: Time) {
        for at in 0..self.host_files.paths.len() {
            let _ = self.seed_host_file(self.host_files.paths[at], now);
        }
    }

    fn seed_host_file(&mut self, path: &'static [u8], now: Time) -> Result<(), Errno> {
        let name = path.strip_suffix(b"/").unwrap_or(path);
        self.make_parents(name, now)?;
        let walked = self.walk(linux::AT_FDCWD, name, Follow::Never)?;
        if walked.found.is_ok() {
            return Err(Errno::EEXIST);
        }
        let (kind, permissions) = host_kind(walked.directory, boxed(name)?, name.len() < path.len());
        self.make_fixed(walked.directory, walked.name(), kind, permissions, now).map(|_| ())
    }

    /// Reads the contents of `node` in `parent`, a file of the host that no walk has reached yet. It becomes a directory if its name on
    /// the host is a link to one.
    #[cold]
    pub(super) fn bring_host_file(&mut self, parent: NodeKey, node: NodeKey) -> Result<(), Errno> {
        let Kind::Host(path) = &self.nodes[node].kind else { return Ok(()) };
        let (kind, permissions) = match (self.host_files.read)(path)? {
            Contents::File(bytes) => (Kind::Regular(self.data_of(&bytes)?), 0o644),
            Contents::Link(target) => (Kind::Link(target.into_boxed_slice()), 0o777),
            // Listed like any directory of the host, when it is reached.
            Contents::Directory(_) => host_kind(parent, boxed(path)?, true),
        };
        // The pages of a regular file are paid for.
        let paid = if let Kind::Regular(data) = &kind { data.pages() * PAGE } else { 0 };
        let inode = &mut self.nodes[node];
        let before = inode.cost();
        (inode.kind, inode.permissions) = (kind, permissions);
        let is_directory = inode.kind.is_directory();
        if is_directory {
            inode.links = 2;
        }
        self.quota.give(before);
        self.quota.take_anyway(inode.cost() - paid);
        if is_directory {
            self.nodes.retain(parent);
            self.nodes[parent].links += 1;
        }
        Ok(())
    }

    /// Returns contents of these bytes, or ENOSPC.
    fn data_of(&mut self, bytes: &[u8]) -> Result<Data, Errno> {
        let mut data = Data::default();
        match data.write(&mut self.quota, 0, Source::Own(bytes)) {
            Ok(count) if count == bytes.len() as u64 => Ok(data),
            _ => {
                data.set_size(&mut self.quota, 0);
                Err(Errno::ENOSPC)
            }
        }
    }

    /// Adds the entries of `directory`, one of the host. Files that are there already, which are the image's, stay.
    #[cold]
    pub(super) fn list_host_directory(&mut self, directory: NodeKey) -> Result<(), Errno> {
        let Some(path) = self.nodes[directory].directory_mut().and_then(|entries| entries.host.take()) else {
            return Ok(());
        };
        let listed = match (self.host_files.read)(&path) {
            Ok(Contents::Directory(records)) => self.add_host_entries(directory, &path, &records),
            Ok(_) => Err(Errno::EIO),
            Err(errno) => Err(errno),
        };
        if listed.is_err()
            && let Some(entries) = self.nodes[directory].directory_mut()
        {
            entries.host = Some(path);
        }
        listed
    }

    fn add_host_entries(&mut self, directory: NodeKey, path: &[u8], records: &[u8]) -> Result<(), Errno> {
        for record in records.split(|byte| *byte == 0) {
            let Some((what, name)) = record.split_first() else { continue };
            let is_wrong = matches!(name, b"" | b"." | b"..") || name.len() > NAME_MAXIMUM || name.contains(&b'/');
            let has_it = || self.nodes[directory].directory().is_none_or(|entries| entries.get(name).is_some());
            if !is_wrong && !has_it() {
                let path = boxed(&[path, b"/", name].concat())?;
                self.add_host_entry(directory, name, path, u32::from(*what) == kind::DIRECTORY)?;
            }
        }
        Ok(())
    }

    fn add_host_entry(
        &mut self,
        directory: NodeKey,
        name: &[u8],
        path: Box<[u8]>,
        is_directory: bool,
    ) -> Result<(), Errno> {
        let (kind, permissions) = host_kind(directory, path, is_directory);
        let Inode { mount, times, number, .. } = &self.nodes[directory];
        let (number, mut inode) = (*number, Inode::new(self.next_number, kind, *mount, permissions, times.born));
        inode.links = if is_directory { 2 } else { 1 };
        inode.home = Some((directory, number));
        let cost = inode.cost();
        let node = self.nodes.insert(inode)?;
        self.quota.take_anyway(cost);
        self.next_number += 1;
        if is_directory {
            self.nodes.retain(directory);
        }
        let parent = &mut self.nodes[directory];
        let added = match parent.directory_mut() {
            Some(entries) => entries.insert_anyway(&mut self.quota, name, node),
            None => Err(Errno::ENOTDIR),
        };
        match added {
            Ok(()) if is_directory => self.nodes[directory].links += 1,
            Ok(()) => {}
            Err(_) => self.release(node),
        }
        added
    }
}

/// Kind and permissions of the host's file or directory at `path`, in the directory `parent`.
fn host_kind(parent: NodeKey, path: Box<[u8]>, is_directory: bool) -> (Kind, u32) {
    match is_directory {
        true => {
            let mut directory = Directory::new(parent);
            directory.host = Some(path);
            (Kind::Directory(directory), 0o755)
        }
        false => (Kind::Host(path), 0o644),
    }
}
