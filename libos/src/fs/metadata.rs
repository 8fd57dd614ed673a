//! Metadata of files, and how it is set.

use super::Files;
use super::data::PAGE;
use super::device::Device;
use super::disk;
use super::folder::FIRST_FOLDER;
use super::handle::NodeKey;
use super::inode::{Inode, Kind, Time};
use super::layout::{Stat, Statfs, Statx, StatxTime, Timespec};
use super::path::Found;
use crate::errno::Errno;
use alloc::vec::Vec;
use core::fmt::Write;
use husk::abi::folder::Attributes;
use linux_raw_sys::general as linux;

/// Blocks of 512 bytes, the unit of stat, in a page.
const BLOCKS_PER_PAGE: u64 = PAGE / 512;

impl Files {
    /// Inode of a descriptor; that of the working directory for `AT_FDCWD`.
    pub(super) fn node_at(&self, descriptor: i32) -> Result<NodeKey, Errno> {
        match descriptor {
            linux::AT_FDCWD => Ok(self.directory),
            descriptor => self.description(descriptor).map(|description| description.node),
        }
    }

    /// Inode at `path`; with an empty path and `AT_EMPTY_PATH`, that of the descriptor.
    fn node_of(&mut self, directory: i32, path: &[u8], flags: u32) -> Result<NodeKey, Errno> {
        if path.is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
            return self.node_at(directory);
        }
        self.resolve(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0)
    }

    /// newfstatat(2), and fstat(2) with an empty path and `AT_EMPTY_PATH`.
    pub fn stat(&mut self, directory: i32, path: &[u8], flags: u32) -> Result<Stat, Errno> {
        const KNOWN: u32 = linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | linux::AT_EMPTY_PATH;
        if flags & !KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        let (node, magic) = self.node_or_magic(directory, path, flags)?;
        let inode = &self.nodes[node];
        let (major, minor) = inode.mount.device();
        let (device_major, device_minor) = device_number(inode);
        Ok(Stat {
            device: encode(major, minor),
            number: inode.number,
            links: inode.links.into(),
            mode: if magic { linux::S_IFLNK | 0o777 } else { inode.mode() },
            user: inode.user,
            group: inode.group,
            reserved: 0,
            device_number: encode(device_major, device_minor),
            size: self.size(inode) as i64,
            block_size: PAGE as i64,
            blocks: blocks(inode) as i64,
            accessed: inode.times.accessed.into(),
            modified: inode.times.modified.into(),
            changed: inode.times.changed.into(),
            reserved_end: [0; 3],
        })
    }

    /// statx(2).
    pub fn statx(&mut self, directory: i32, path: &[u8], flags: u32) -> Result<Statx, Errno> {
        const KNOWN: u32 =
            linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | linux::AT_EMPTY_PATH | linux::AT_STATX_SYNC_TYPE;
        if flags & !KNOWN != 0 || flags & linux::AT_STATX_SYNC_TYPE == linux::AT_STATX_SYNC_TYPE {
            return Err(Errno::EINVAL);
        }
        let (node, magic) = self.node_or_magic(directory, path, flags)?;
        let inode = &self.nodes[node];
        let device = inode.mount.device();
        Ok(Statx {
            mask: linux::STATX_BASIC_STATS | linux::STATX_BTIME | linux::STATX_MNT_ID,
            block_size: PAGE as u32,
            attributes: 0,
            links: inode.links,
            user: inode.user,
            group: inode.group,
            mode: if magic { linux::S_IFLNK | 0o777 } else { inode.mode() } as u16,
            reserved: 0,
            number: inode.number,
            size: self.size(inode),
            blocks: blocks(inode),
            attributes_mask: 0,
            accessed: inode.times.accessed.into(),
            born: inode.times.born.into(),
            changed: inode.times.changed.into(),
            modified: inode.times.modified.into(),
            device_number: device_number(inode).into(),
            device: device.into(),
            mount: device.1.into(),
            reserved_end: [0; 13],
        })
    }

    /// Status of a file of a folder, as for stat(2).
    pub fn folder_stat(folder: u32, attributes: &Attributes) -> Stat {
        let [accessed, modified, changed, _] = attributes.times.map(|time| Timespec::from(folder_time(time)));
        Stat {
            device: encode(0, FIRST_FOLDER + folder),
            number: attributes.number,
            links: attributes.links.into(),
            mode: attributes.mode,
            user: attributes.user,
            group: attributes.group,
            reserved: 0,
            device_number: 0,
            size: attributes.size as i64,
            block_size: attributes.block_size.into(),
            blocks: attributes.blocks as i64,
            accessed,
            modified,
            changed,
            reserved_end: [0; 3],
        }
    }

    /// Status of a file of a folder, as for statx(2).
    pub fn folder_statx(folder: u32, attributes: &Attributes) -> Statx {
        let [accessed, modified, changed, born] = attributes.times.map(|time| StatxTime::from(folder_time(time)));
        Statx {
            mask: linux::STATX_BASIC_STATS | linux::STATX_BTIME | linux::STATX_MNT_ID,
            block_size: attributes.block_size,
            attributes: 0,
            links: attributes.links,
            user: attributes.user,
            group: attributes.group,
            mode: attributes.mode as u16,
            reserved: 0,
            number: attributes.number,
            size: attributes.size,
            blocks: attributes.blocks,
            attributes_mask: 0,
            accessed,
            born,
            changed,
            modified,
            device_number: [0; 2],
            device: [0, FIRST_FOLDER + folder],
            mount: (FIRST_FOLDER + folder).into(),
            reserved_end: [0; 13],
        }
    }

    /// Inode to report about; true if the report is about the link to it in `/proc/self/fd`.
    fn node_or_magic(&mut self, directory: i32, path: &[u8], flags: u32) -> Result<(NodeKey, bool), Errno> {
        if path.is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
            return Ok((self.node_at(directory)?, false));
        }
        match self.found(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0)? {
            Found::Node(node) => Ok((node, false)),
            Found::Magic(descriptor) => Ok((self.description(descriptor)?.node, true)),
        }
    }

    fn size(&self, inode: &Inode) -> u64 {
        if matches!(inode.kind, Kind::Image) { self.image_size } else { inode.size() }
    }

    /// statfs(2), or fstatfs(2) with an empty path.
    pub fn statfs(&mut self, directory: i32, path: &[u8]) -> Result<Statfs, Errno> {
        let node = if path.is_empty() { self.node_at(directory)? } else { self.resolve(directory, path, true)? };
        let mount = self.nodes[node].mount;
        let inode = size_of::<Inode>() as u64;
        Ok(Statfs {
            magic: mount.magic().into(),
            block_size: PAGE,
            blocks: self.quota.limit / PAGE,
            blocks_free: self.quota.free() / PAGE,
            blocks_available: self.quota.free() / PAGE,
            files: self.quota.limit / inode,
            files_free: self.quota.free() / inode,
            id: mount.device().1.into(),
            name_maximum: super::directory::NAME_MAXIMUM as u64,
            fragment_size: PAGE,
            flags: 0,
            reserved: [0; 4],
        })
    }

    /// faccessat2(2). Root may do everything but execute a file without any execute permission.
    pub fn check_access(&mut self, directory: i32, path: &[u8], mode: u32, flags: u32) -> Result<(), Errno> {
        const KNOWN: u32 = linux::AT_SYMLINK_NOFOLLOW | linux::AT_EACCESS | linux::AT_EMPTY_PATH;
        if mode & !0o7 != 0 || flags & !KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.node_of(directory, path, flags)?;
        let inode = &self.nodes[node];
        let executes = mode & linux::X_OK != 0 && matches!(inode.kind.format(), linux::S_IFREG | linux::S_IFIFO);
        if executes && inode.permissions & 0o111 == 0 { Err(Errno::EACCES) } else { Ok(()) }
    }

    /// readlinkat(2). An empty path means the descriptor, if it stands for a link.
    pub fn read_link(&mut self, directory: i32, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let found = if path.is_empty() {
            Found::Node(self.description(directory).map_err(|_| Errno::ENOENT)?.node)
        } else {
            self.found(directory, path, false)?
        };
        match found {
            Found::Magic(descriptor) => self.path_of_descriptor(descriptor),
            Found::Node(node) => match &self.nodes[node].kind {
                Kind::Link(target) => Ok(target.to_vec()),
                _ if path.is_empty() => Err(Errno::ENOENT),
                _ => Err(Errno::EINVAL),
            },
        }
    }

    /// Target of the link to a descriptor in `/proc/self/fd`.
    fn path_of_descriptor(&self, descriptor: i32) -> Result<Vec<u8>, Errno> {
        let node = self.description(descriptor)?.node;
        let inode = &self.nodes[node];
        let mut text = alloc::string::String::new();
        let nameless = inode.kind.nameless().filter(|_| inode.home.is_none());
        let written = match (nameless, &inode.kind) {
            (Some(name), _) if name.ends_with(':') => write!(text, "{name}[{}]", inode.number),
            (Some(name), _) => write!(text, "{name}"),
            (None, Kind::Device(Device::Console(_))) => write!(text, "/dev/console"),
            _ => match self.path_of(node) {
                Ok(path) => return Ok(path),
                Err(_) if matches!(inode.kind, Kind::Folder(_)) => {
                    return self.folder_path(node).unwrap_or(Err(Errno::ENOENT));
                }
                Err(_) => write!(text, "/#{} (deleted)", inode.number),
            },
        };
        written.map_err(|_| Errno::ENOMEM)?;
        Ok(text.into_bytes())
    }

    /// fchmodat2(2), or fchmod(2) with an empty path and `AT_EMPTY_PATH`.
    pub fn set_permissions(
        &mut self,
        directory: i32,
        path: &[u8],
        mode: u32,
        flags: u32,
        now: Time,
    ) -> Result<(), Errno> {
        if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.node_of(directory, path, flags)?;
        let inode = &mut self.nodes[node];
        if matches!(inode.kind, Kind::Link(_)) {
            return Err(Errno::EOPNOTSUPP);
        }
        inode.permissions = mode & 0o7777;
        inode.times.changed = now;
        self.report(node, linux::IN_ATTRIB);
        Ok(())
    }

    /// fchownat(2); `u32::MAX` leaves a number as it is.
    pub fn set_owner(
        &mut self,
        directory: i32,
        path: &[u8],
        owner: (u32, u32),
        flags: u32,
        now: Time,
    ) -> Result<(), Errno> {
        if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.node_of(directory, path, flags)?;
        let inode = &mut self.nodes[node];
        let (user, group) = owner;
        inode.user = if user == u32::MAX { inode.user } else { user };
        inode.group = if group == u32::MAX { inode.group } else { group };
        if !inode.kind.is_directory() {
            let group_executes = inode.permissions & 0o010 != 0;
            inode.permissions &= !(linux::S_ISUID | if group_executes { linux::S_ISGID } else { 0 });
        }
        inode.times.changed = now;
        self.report(node, linux::IN_ATTRIB);
        Ok(())
    }
}

fn folder_time(time: husk::abi::folder::Time) -> Time {
    Time { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn blocks(inode: &Inode) -> u64 {
    match &inode.kind {
        Kind::Regular(data) => data.full_pages() * BLOCKS_PER_PAGE,
        _ => 0,
    }
}

/// Number of the device behind a device file.
fn device_number(inode: &Inode) -> (u32, u32) {
    match inode.kind {
        Kind::Device(device) => device.number(),
        Kind::Disk(disk) => (disk::MAJOR, disk.number),
        _ => (0, 0),
    }
}

/// Encodes a device number in Linux's format; our minor numbers all fit its oldest part.
fn encode(major: u32, minor: u32) -> u64 {
    u64::from(major << 8 | minor)
}
