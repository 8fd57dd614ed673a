//! Open file descriptions: an inode with an offset and flags, shared by duplicated descriptors.

use super::handle::NodeKey;
use super::lock::Mode;
use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;
use bitflags::bitflags;
use linux_raw_sys::general as linux;

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

/// An open file.
#[derive(Debug)]
pub struct Description {
    /// The open inode; counted.
    pub node: NodeKey,
    /// Flags for `F_GETFL`: access mode and status.
    pub flags: u32,
    /// Offset of the next read or write; for a directory, the position in its listing.
    pub offset: u64,
    /// Threads with calls that use the offset and have waited, in order: see [`super::offset`].
    pub users: Vec<u32>,
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

    /// Reads from the text made at open(2).
    pub fn read_text(&self, offset: u64, into: Slice) -> Result<u64, Errno> {
        let text = self.text.as_deref().unwrap_or_default();
        let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or_default();
        let part = rest.get(..into.length as usize).unwrap_or(rest);
        into.copy_in(part)?;
        Ok(part.len() as u64)
    }

    /// Returns true if calls fail rather than wait.
    pub fn is_nonblocking(&self) -> bool {
        self.flags & linux::O_NONBLOCK != 0
    }
}
