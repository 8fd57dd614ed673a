//! Open file descriptions: an inode with an offset and flags, shared by duplicated descriptors.

use super::Files;
use super::inode::{Kind, NodeKey, Time};
use super::lock::Mode;
use super::slab::Key;
use crate::errno::Errno;
use alloc::vec::Vec;
use bitflags::bitflags;
use linux_raw_sys::general as linux;

/// Handle of an open file description.
pub type DescriptionKey = Key<Description>;

bitflags! {
    /// Access mode of a description.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u8 {
        /// Reading.
        const READ = 1;
        /// Writing.
        const WRITE = 2;
    }
}

impl Access {
    /// Access mode in the flags of open(2).
    pub fn from_flags(flags: u32) -> Self {
        match flags & (linux::O_ACCMODE | linux::O_PATH) {
            linux::O_RDONLY => Self::READ,
            linux::O_WRONLY => Self::WRITE,
            linux::O_RDWR => Self::READ | Self::WRITE,
            _ => Self::empty(),
        }
    }
}

/// Flags that `F_SETFL` changes.
const CHANGEABLE: u32 = linux::O_APPEND | linux::O_NONBLOCK | linux::O_NOATIME | linux::O_DIRECT;

/// An open file.
#[derive(Debug)]
pub struct Description {
    /// The open inode; counted.
    pub node: NodeKey,
    /// Flags for `F_GETFL`: access mode and status.
    pub flags: u32,
    /// Offset of the next read or write; for a directory, the position in its listing.
    pub offset: u64,
    /// Lock of flock(2).
    pub lock: Option<Mode>,
    /// Text made at open(2), for a file that holds none itself.
    pub text: Option<Vec<u8>>,
}

impl Description {
    /// Access mode of the description.
    pub fn access(&self) -> Access {
        Access::from_flags(self.flags)
    }

    /// Returns true if calls fail rather than wait.
    pub fn is_nonblocking(&self) -> bool {
        self.flags & linux::O_NONBLOCK != 0
    }
}

impl Files {
    /// The description behind a descriptor.
    pub fn description(&self, descriptor: i32) -> Result<&Description, Errno> {
        self.descriptors.description(descriptor).map(|key| &self.descriptions[key])
    }

    /// EBADF unless a descriptor is open, and not just with `O_PATH`.
    pub fn check(&self, descriptor: i32) -> Result<(), Errno> {
        self.usable(descriptor).map(|_| ())
    }

    /// The description behind a descriptor; EBADF with `O_PATH`.
    pub(super) fn usable(&self, descriptor: i32) -> Result<DescriptionKey, Errno> {
        let key = self.descriptors.description(descriptor)?;
        if self.descriptions[key].flags & linux::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(key) }
    }

    /// The description, like [`Files::usable`]; EBADF also if it does not allow `access`.
    pub(super) fn usable_to(&self, descriptor: i32, access: Access) -> Result<DescriptionKey, Errno> {
        let key = self.usable(descriptor)?;
        if self.descriptions[key].access().contains(access) { Ok(key) } else { Err(Errno::EBADF) }
    }

    /// Kind of the file behind a descriptor.
    pub fn kind(&self, descriptor: i32) -> Result<&Kind, Errno> {
        self.description(descriptor).map(|description| &self.nodes[description.node].kind)
    }

    /// Opens `node`; takes over a reference of the caller.
    pub(super) fn add_description(&mut self, node: NodeKey, flags: u32) -> Result<DescriptionKey, Errno> {
        let flags = flags & !(linux::O_CREAT | linux::O_EXCL | linux::O_NOCTTY | linux::O_TRUNC | linux::O_CLOEXEC);
        let flags = if flags & linux::O_PATH == 0 { flags | linux::O_LARGEFILE } else { flags };
        match self.descriptions.insert(Description { node, flags, offset: 0, lock: None, text: None }) {
            Ok(key) => {
                self.pipe_opened(node, Access::from_flags(flags));
                Ok(key)
            }
            Err(errno) => {
                self.release(node);
                Err(errno)
            }
        }
    }

    /// Opens `node` and returns a descriptor for it; takes over a reference of the caller.
    pub(super) fn open_node(&mut self, node: NodeKey, flags: u32) -> Result<i32, Errno> {
        let description = self.add_description(node, flags)?;
        self.add_descriptor(description, 0, flags & linux::O_CLOEXEC != 0)
    }

    /// Drops a reference to a description; closes it with the last one.
    pub(super) fn release_description(&mut self, key: DescriptionKey) {
        if let Some(description) = self.descriptions.release(key) {
            self.unlock_closed(key, &description);
            self.unwatch_closed(key, description.node);
            self.timer_closed(description.node);
            self.socket_closed(description.node);
            self.pipe_closed(description.node, description.access());
            self.release(description.node);
        }
    }

    /// `F_GETFL`.
    pub fn status_flags(&self, descriptor: i32) -> Result<u32, Errno> {
        self.description(descriptor).map(|description| description.flags)
    }

    /// `F_SETFL`.
    pub fn set_status_flags(&mut self, descriptor: i32, flags: u32) -> Result<(), Errno> {
        let key = self.usable(descriptor)?;
        let description = &mut self.descriptions[key];
        description.flags = (description.flags & !CHANGEABLE) | (flags & CHANGEABLE);
        Ok(())
    }

    /// `FIONBIO`: if true, calls fail rather than wait.
    pub fn set_nonblocking(&mut self, descriptor: i32, to: bool) -> Result<(), Errno> {
        let flags = self.status_flags(descriptor)? & !linux::O_NONBLOCK;
        self.set_status_flags(descriptor, if to { flags | linux::O_NONBLOCK } else { flags })
    }

    /// Updates the access time of `node` after a read through `key`.
    pub(super) fn touch(&mut self, key: DescriptionKey, now: Time) {
        let Description { node, flags, .. } = self.descriptions[key];
        if flags & linux::O_NOATIME == 0 {
            self.nodes[node].accessed(now);
        }
    }
}
