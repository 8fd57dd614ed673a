//! Paths that lead into the folders of the host.

use super::Files;
use super::folder::{Folder, FolderFile, Mounted, Opened, Place, Reply};
use super::handle::NodeKey;
use super::inode::{Kind, Mount, Time};
use super::path::{Follow, Way};
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use husk::abi::folder::{Answer, Attributes, ROOT};
use linux_raw_sys::general as linux;

impl Files {
    /// Adds a folder, before the tree is made.
    pub fn add_folder(&mut self, folder: Folder) -> Result<(), Errno> {
        self.folders.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.folders.push(folder);
        Ok(())
    }

    /// Returns true if there are folders.
    #[inline]
    pub fn has_folders(&self) -> bool {
        !self.folders.is_empty()
    }

    /// All folders.
    pub fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// The folder with this number.
    pub fn folder(&self, number: u32) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.number == number)
    }

    /// Makes the tree with the folders, if there are any. Returns the first that cannot be there, and the reason.
    pub fn place_folders(&mut self) -> Result<(), (Option<&Folder>, Errno)> {
        let grown = if self.has_folders() { self.grow() } else { Ok(()) };
        let failed = self.misplaced.or(grown.err().map(|errno| (0, errno)));
        match failed {
            Some((at, errno)) => Err((self.folders.get(at), errno)),
            None => Ok(()),
        }
    }

    /// Makes the mount points in the tree, over whatever is at their places.
    pub(super) fn mount_folders(&mut self, now: Time) {
        for at in 0..self.folders.len() {
            if let Err(errno) = self.mount_folder(at, now) {
                self.misplaced = self.misplaced.or(Some((at, errno)));
            }
        }
    }

    fn mount_folder(&mut self, at: usize, now: Time) -> Result<(), Errno> {
        let Folder { number, is_file, ref path, .. } = self.folders[at];
        let path = path.clone();
        self.make_parents(&path, now)?;
        let walked = self.walk(linux::AT_FDCWD, &path, Follow::Never)?;
        if let Ok(before) = walked.node() {
            self.remove_name(walked.directory, walked.name(), before, now);
        }
        let permissions = if is_file { 0o644 } else { 0o755 };
        let kind = Kind::Mounted(Mounted { number, is_file });
        self.make_fixed(walked.directory, walked.name(), kind, permissions, now).map(|_| ())
    }

    /// The place in a folder that a path leads to; `None` if it leads to none. With `is_empty_allowed`, an empty path is the file
    /// of the descriptor.
    pub fn place(
        &mut self,
        directory: i32,
        path: &[u8],
        follow: bool,
        is_empty_allowed: bool,
    ) -> Result<Option<Place>, Errno> {
        if !self.has_folders() {
            return Ok(None);
        }
        if path.is_empty() && is_empty_allowed {
            let node = self.node_at(directory)?;
            return self.place_at(node, &[]);
        }
        let follow = if follow { Follow::Always } else { Follow::Slash };
        match self.walk_to_end(directory, path, follow) {
            Ok(Way::Beyond(node, rest)) => self.place_at(node, &rest),
            // The files say what is wrong.
            Ok(Way::End(_)) | Err(_) => Ok(None),
        }
    }

    fn place_at(&self, node: NodeKey, path: &[u8]) -> Result<Option<Place>, Errno> {
        let (folder, base, prefix) = match &self.nodes[node].kind {
            Kind::Folder(Opened { file, path }) => (file.folder, file.handle, copied(path)?),
            Kind::Mounted(mounted) => (mounted.number, ROOT, Vec::new()),
            _ => return Ok(None),
        };
        Ok(Some(Place { folder, base, prefix, path: copied(path)? }))
    }

    /// The file of a folder behind a descriptor, if it is one.
    #[inline]
    pub fn folder_file(&self, descriptor: i32) -> Option<FolderFile> {
        if !self.has_folders() {
            return None;
        }
        let node = self.description(descriptor).ok()?.node;
        match &self.nodes[node].kind {
            Kind::Folder(opened) => Some(opened.file),
            _ => None,
        }
    }

    /// Returns true if the folder with this number is a volume.
    pub fn is_volume(&self, number: u32) -> bool {
        self.folder(number).is_some_and(|folder| folder.disk.is_some())
    }

    /// Returns a descriptor for a file that has been opened at `place`.
    pub fn open_in_folder(&mut self, place: &Place, reply: &Reply, flags: u32, now: Time) -> Result<i32, Errno> {
        let node = self.folder_node(place, reply, flags, now)?;
        self.open_node(node, flags & !linux::__O_TMPFILE)
    }

    /// Makes an opened file the working directory.
    pub fn enter_folder(&mut self, place: &Place, reply: &Reply, now: Time) -> Result<(), Errno> {
        let node = self.folder_node(place, reply, linux::O_PATH, now)?;
        let before = core::mem::replace(&mut self.directory, node);
        self.release(before);
        Ok(())
    }

    /// Adds an inode for an opened file, which closes it at its end. The caller holds the only reference.
    fn folder_node(&mut self, place: &Place, reply: &Reply, flags: u32, now: Time) -> Result<NodeKey, Errno> {
        let (file, attributes) = (self.opened_in_folder(place, reply, flags), &reply.answer.attributes);
        let made = place.whole().and_then(|path| {
            self.closed_files.try_reserve(self.open_files + 1).map_err(|_| Errno::ENOMEM)?;
            let opened = Opened { file, path: clean(&path)? };
            self.add_node(Kind::Folder(opened), Mount::Nameless, attributes.mode, now)
        });
        match made {
            Ok(node) => {
                self.open_files += 1;
                self.nodes[node].links = 1;
                Ok(node)
            }
            Err(errno) => {
                // Room for one more was there when the file was asked for.
                self.closed_files.push(file);
                Err(errno)
            }
        }
    }

    /// The file that has been opened at `place` with these flags.
    pub fn opened_in_folder(&self, place: &Place, reply: &Reply, flags: u32) -> FolderFile {
        let Answer { handle, attributes: Attributes { mode, number, .. }, .. } = reply.answer;
        let changes = flags & linux::O_PATH == 0 && flags & linux::O_ACCMODE != linux::O_RDONLY;
        FolderFile { folder: place.folder, handle, number, format: mode & linux::S_IFMT, changes }
    }

    /// Sets the offset of a descriptor's file.
    pub fn set_offset(&mut self, descriptor: i32, to: u64) -> Result<(), Errno> {
        let key = self.usable(descriptor)?;
        self.descriptions[key].offset = to;
        Ok(())
    }

    /// Makes room for one file to be closed.
    pub fn reserve_close(&mut self) -> Result<(), Errno> {
        self.closed_files.try_reserve(self.open_files + 1).map_err(|_| Errno::ENOMEM)
    }

    /// The absolute path of a file in a folder.
    pub(super) fn folder_path(&self, node: NodeKey) -> Option<Result<Vec<u8>, Errno>> {
        let Kind::Folder(Opened { file, path }) = &self.nodes[node].kind else { return None };
        let folder = self.folder(file.folder)?;
        Some(super::folder::joined(&folder.path, path))
    }
}

/// The path without empty names and `.`.
fn clean(path: &[u8]) -> Result<Box<[u8]>, Errno> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let mut clean = Vec::new();
    clean.try_reserve_exact(path.len()).map_err(|_| Errno::ENOMEM)?;
    for name in names {
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(name);
    }
    Ok(clean.into_boxed_slice())
}

fn copied(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    super::folder::joined(bytes, &[])
}
