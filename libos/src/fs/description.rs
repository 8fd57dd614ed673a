//! Open file descriptions: an inode with an offset and flags, shared by the descriptors that were duplicated.

use super::Files;
use super::inode::{Kind, NodeKey, Time};
use super::lock::Mode;
use super::slab::Key;
use crate::errno::Errno;
use alloc::vec::Vec;
use bitflags::bitflags;
use linux_raw_sys::general as linux;

/// Refers to an open file description.
pub type DescriptionKey = Key<Description>;

bitflags! {
    /// What a description is good for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u8 {
        /// To read.
        const READ = 1;
        /// To write.
        const WRITE = 2;
    }
}

impl Access {
    /// What the flags of open(2) ask for.
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
    /// What is open; counted.
    pub node: NodeKey,
    /// Flags as `F_GETFL` tells them: access mode and status.
    pub flags: u32,
    /// Where the next read or write happens; for a directory, the position in its listing.
    pub offset: u64,
    /// Its flock(2).
    pub lock: Option<Mode>,
    /// The text that was made when it was opened, for a file that holds none itself.
    pub text: Option<Vec<u8>>,
}

impl Description {
    /// What it is good for.
    pub fn access(&self) -> Access {
        Access::from_flags(self.flags)
    }

    /// Whether its calls fail rather than wait.
    pub fn is_nonblocking(&self) -> bool {
        self.flags & linux::O_NONBLOCK != 0
    }
}

impl Files {
    /// The description that a descriptor stands for.
    pub fn description(&self, descriptor: i32) -> Result<&Description, Errno> {
        self.descriptors.description(descriptor).map(|key| &self.descriptions[key])
    }

    /// EBADF if a descriptor stands for nothing, or for what was only opened as a path.
    pub fn check(&self, descriptor: i32) -> Result<(), Errno> {
        self.usable(descriptor).map(|_| ())
    }

    /// The description that a descriptor stands for; EBADF if it was only opened as a path.
    pub(super) fn usable(&self, descriptor: i32) -> Result<DescriptionKey, Errno> {
        let key = self.descriptors.description(descriptor)?;
        if self.descriptions[key].flags & linux::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(key) }
    }

    /// As [`Files::usable`], with EBADF too if it is not good for `access`.
    pub(super) fn usable_to(&self, descriptor: i32, access: Access) -> Result<DescriptionKey, Errno> {
        let key = self.usable(descriptor)?;
        if self.descriptions[key].access().contains(access) { Ok(key) } else { Err(Errno::EBADF) }
    }

    /// What kind of file a descriptor stands for.
    pub fn kind(&self, descriptor: i32) -> Result<&Kind, Errno> {
        self.description(descriptor).map(|description| &self.nodes[description.node].kind)
    }

    /// Opens `node`, on which the caller hands its count over.
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

    /// Opens `node` and gives out a descriptor for it. The caller hands its count on `node` over.
    pub(super) fn open_node(&mut self, node: NodeKey, flags: u32) -> Result<i32, Errno> {
        let description = self.add_description(node, flags)?;
        self.add_descriptor(description, 0, flags & linux::O_CLOEXEC != 0)
    }

    /// Counts once less on a description; closes it if that was all.
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

    /// `FIONBIO`: whether calls fail rather than wait.
    pub fn set_nonblocking(&mut self, descriptor: i32, to: bool) -> Result<(), Errno> {
        let flags = self.status_flags(descriptor)? & !linux::O_NONBLOCK;
        self.set_status_flags(descriptor, if to { flags | linux::O_NONBLOCK } else { flags })
    }

    /// Notes a read of `node` through `key`, for its time of access.
    pub(super) fn touch(&mut self, key: DescriptionKey, now: Time) {
        let Description { node, flags, .. } = self.descriptions[key];
        if flags & linux::O_NOATIME == 0 {
            self.nodes[node].accessed(now);
        }
    }
}
