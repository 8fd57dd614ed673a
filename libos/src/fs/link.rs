//! Names: creation of files, directories and links, and their removal.

use super::Files;
use super::data::Data;
use super::device::Device;
use super::directory::{Directory, boxed};
use super::handle::NodeKey;
use super::inode::{Inode, Kind, Mount, Time};
use super::path::{Follow, Found, Last, PATH_MAXIMUM, Walked};
use super::pipe::Pipe;
use crate::errno::Errno;
use linux_raw_sys::general as linux;

impl Files {
    /// ENOENT if the directory has been removed, EPERM if nothing in it can be changed.
    pub(super) fn check_may_change(&self, directory: NodeKey) -> Result<(), Errno> {
        match &self.nodes[directory] {
            Inode { kind: Kind::Directory(_), links: 0, .. } => Err(Errno::ENOENT),
            Inode { kind: Kind::Directory(_), mount: Mount::Memory, .. } => Ok(()),
            inode if inode.kind.is_directory() => Err(Errno::EPERM),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Place for a new name. `path` must not exist; it may end in a slash only if `is_directory`.
    fn walk_to_new<'a>(&mut self, directory: i32, path: &'a [u8], is_directory: bool) -> Result<Walked<'a>, Errno> {
        let walked = self.walk(directory, path, Follow::Never)?;
        match walked.found {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if is_directory || !walked.slash => {}
            Err(errno) => return Err(errno),
        }
        self.check_may_change(walked.directory)?;
        Ok(walked)
    }

    /// Makes an inode with the name `name`, which does not exist, in a directory that can be changed.
    pub(super) fn make(
        &mut self,
        directory: NodeKey,
        name: &[u8],
        kind: Kind,
        permissions: u32,
        now: Time,
    ) -> Result<NodeKey, Errno> {
        self.check_may_change(directory)?;
        let node = self.make_fixed(directory, name, kind, permissions, now)?;
        let inherits_group = self.nodes[directory].permissions & linux::S_ISGID != 0;
        let inode = &mut self.nodes[node];
        inode.user = self.caller.files.0;
        if !inherits_group {
            inode.group = self.caller.files.1;
        }
        self.report_name(directory, name, linux::IN_CREATE, node);
        Ok(node)
    }

    /// Makes an inode like [`Files::make`], in any directory, for root.
    pub(super) fn make_fixed(
        &mut self,
        directory: NodeKey,
        name: &[u8],
        kind: Kind,
        permissions: u32,
        now: Time,
    ) -> Result<NodeKey, Errno> {
        let (mount, group, set_group) = {
            let parent = &self.nodes[directory];
            (parent.mount, parent.group, parent.permissions & linux::S_ISGID)
        };
        let has_parent = matches!(kind, Kind::Directory(_));
        let is_directory = kind.is_directory();
        let node = self.add_node(kind, mount, permissions, now)?;
        if has_parent {
            self.nodes.retain(directory);
        }
        if set_group != 0 {
            self.nodes[node].group = group;
            self.nodes[node].permissions |= if is_directory { linux::S_ISGID } else { 0 };
        }
        let named = self.add_name(directory, name, node, now);
        // The name now holds a reference; without a name, the inode is freed.
        self.release(node);
        named?;
        Ok(node)
    }

    /// Gives `node` the name `name`, which does not exist yet.
    pub(super) fn add_name(&mut self, directory: NodeKey, name: &[u8], node: NodeKey, now: Time) -> Result<(), Errno> {
        let parent = &mut self.nodes[directory];
        let number = parent.number;
        parent.directory_mut().ok_or(Errno::ENOTDIR)?.insert(&mut self.quota, name, node)?;
        parent.modified(now);
        self.nodes.retain(node);
        let inode = &mut self.nodes[node];
        inode.home = Some((directory, number));
        inode.times.changed = now;
        if inode.kind.is_directory() {
            self.nodes[directory].links += 1;
        } else {
            inode.links += 1;
        }
        Ok(())
    }

    /// Removes the name `name` of `node`.
    pub(super) fn remove_name(&mut self, directory: NodeKey, name: &[u8], node: NodeKey, now: Time) {
        let parent = &mut self.nodes[directory];
        if parent.directory_mut().and_then(|entries| entries.remove(&mut self.quota, name)).is_none() {
            return;
        }
        parent.modified(now);
        self.unlinked(directory, node, now);
    }

    /// Uncounts a name of `node`, after it has been removed from `directory`.
    pub(super) fn unlinked(&mut self, directory: NodeKey, node: NodeKey, now: Time) {
        let inode = &mut self.nodes[node];
        inode.times.changed = now;
        if inode.kind.is_directory() {
            inode.links = 0;
            self.nodes[directory].links -= 1;
        } else {
            inode.links -= 1;
        }
        self.release(node);
    }

    /// mkdirat(2).
    pub fn make_directory(&mut self, directory: i32, path: &[u8], mode: u32, now: Time) -> Result<(), Errno> {
        let walked = self.walk_to_new(directory, path, true)?;
        let permissions = mode & 0o1777 & !self.umask;
        let kind = Kind::Directory(Directory::new(walked.directory));
        self.make(walked.directory, walked.name(), kind, permissions, now).map(|_| ())
    }

    /// mknodat(2), for the kinds that it can make.
    pub fn make_node(&mut self, directory: i32, path: &[u8], mode: u32, device: u64, now: Time) -> Result<(), Errno> {
        let kind = match mode & linux::S_IFMT {
            0 | linux::S_IFREG => Kind::Regular(Data::default()),
            linux::S_IFIFO => Kind::Pipe(Pipe::default()),
            linux::S_IFCHR => match ((device >> 8) & 0xfff, device & 0xff) {
                (1, 3) => Kind::Device(Device::Null),
                (1, 5) => Kind::Device(Device::Zero),
                (1, 7) => Kind::Device(Device::Full),
                (1, minor @ (8 | 9)) => Kind::Device(Device::Random(minor as u32)),
                _ => return Err(Errno::EPERM),
            },
            linux::S_IFSOCK => Kind::SocketName(None),
            linux::S_IFDIR | linux::S_IFBLK => return Err(Errno::EPERM),
            _ => return Err(Errno::EINVAL),
        };
        self.make_named(directory, path, kind, mode & 0o7777 & !self.umask, now)
    }

    /// Makes a file at `path`, which does not exist.
    pub(super) fn make_named(
        &mut self,
        directory: i32,
        path: &[u8],
        kind: Kind,
        permissions: u32,
        now: Time,
    ) -> Result<(), Errno> {
        let walked = self.walk_to_new(directory, path, false)?;
        self.make(walked.directory, walked.name(), kind, permissions, now).map(|_| ())
    }

    /// symlinkat(2): makes `path` a link to `target`.
    pub fn make_link(&mut self, target: &[u8], directory: i32, path: &[u8], now: Time) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= PATH_MAXIMUM {
            return Err(Errno::ENAMETOOLONG);
        }
        let walked = self.walk_to_new(directory, path, false)?;
        self.make(walked.directory, walked.name(), Kind::Link(boxed(target)?), 0o777, now).map(|_| ())
    }

    /// linkat(2): makes `to` another name of `from`.
    pub fn link(&mut self, from: (i32, &[u8]), to: (i32, &[u8]), flags: u32, now: Time) -> Result<(), Errno> {
        if flags & !(linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        let found = if from.1.is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
            Found::Node(self.node_at(from.0)?)
        } else {
            self.found(from.0, from.1, flags & linux::AT_SYMLINK_FOLLOW != 0)?
        };
        let walked = self.walk_to_new(to.0, to.1, false)?;
        let Found::Node(node) = found else { return Err(Errno::EXDEV) };
        let inode = &self.nodes[node];
        if inode.mount != self.nodes[walked.directory].mount {
            return Err(Errno::EXDEV);
        }
        if inode.kind.is_directory() {
            return Err(Errno::EPERM);
        }
        if inode.links == 0 && inode.home.is_some() {
            return Err(Errno::ENOENT);
        }
        self.add_name(walked.directory, walked.name(), node, now)?;
        self.report_self(node, linux::IN_ATTRIB);
        self.report_name(walked.directory, walked.name(), linux::IN_CREATE, node);
        Ok(())
    }

    /// unlinkat(2) without `AT_REMOVEDIR`.
    pub fn unlink(&mut self, directory: i32, path: &[u8], now: Time) -> Result<(), Errno> {
        let walked = self.walk(directory, path, Follow::Never)?;
        if walked.last != Last::Name {
            return Err(Errno::EISDIR);
        }
        let node = walked.node()?;
        if self.nodes[node].kind.is_directory() {
            return Err(Errno::EISDIR);
        }
        if walked.slash {
            return Err(Errno::ENOTDIR);
        }
        self.check_may_change(walked.directory)?;
        self.report_self(node, linux::IN_ATTRIB);
        self.keep_name(walked.directory, walked.name(), node);
        self.remove_name(walked.directory, walked.name(), node, now);
        self.report_removed(walked.directory, walked.name(), linux::IN_DELETE, false);
        Ok(())
    }

    /// rmdir(2), and unlinkat(2) with `AT_REMOVEDIR`.
    pub fn remove_directory(&mut self, directory: i32, path: &[u8], now: Time) -> Result<(), Errno> {
        let walked = self.walk(directory, path, Follow::Never)?;
        match walked.last {
            Last::Name => {}
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        }
        let node = walked.node()?;
        let inode = &self.nodes[node];
        if !inode.kind.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.check_may_change(walked.directory)?;
        match inode.directory() {
            Some(_) if inode.mount != Mount::Memory => Err(Errno::EBUSY),
            Some(entries) if entries.is_empty() => {
                self.keep_name(walked.directory, walked.name(), node);
                self.remove_name(walked.directory, walked.name(), node, now);
                self.report_removed(walked.directory, walked.name(), linux::IN_DELETE, true);
                Ok(())
            }
            _ => Err(Errno::ENOTEMPTY),
        }
    }
}
