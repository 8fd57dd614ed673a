//! Files of other parts of the libos: the descriptor and flags are here, everything else is there.
//!
//! The other part opens a file by [`Files::open_foreign`] with a handle of its own, finds it by [`Files::foreign`] when a call
//! names its descriptor, reports its readiness by [`Files::set_ready`], and releases it when it turns up in [`Files::orphans`].
//! So a wait for files need not ask other parts.

use super::Files;
use super::inode::{Kind, NodeKey, Time, Volume};
use super::poll::Ready;
use crate::errno::Errno;
use linux_raw_sys::general as linux;

/// File of another part of the libos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The other part.
    pub owner: Owner,
    /// Handle of the file in that part.
    pub handle: u32,
}

/// Parts of the libos with files of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Sockets.
    Socket,
    /// Signals as files: signalfd(2).
    Signal,
    /// Disks.
    Disk,
}

impl Owner {
    /// Target of the link to such a file in `/proc/self/fd`, up to the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Signal => "anon_inode:signalfd",
            Self::Disk => "disk",
        }
    }

    /// Bits of the file type in a mode.
    pub fn format(self) -> u32 {
        match self {
            Self::Socket => linux::S_IFSOCK,
            Self::Signal => 0,
            Self::Disk => linux::S_IFBLK,
        }
    }
}

impl Files {
    /// Opens a file of another part of the libos; of `flags`, `O_NONBLOCK` and `O_CLOEXEC` count. Returns its descriptor, and
    /// its inode for [`Files::set_ready`], which exists until the file becomes an orphan. If the call fails, no orphan remains.
    pub fn open_foreign(&mut self, foreign: Foreign, flags: u32, now: Time) -> Result<(i32, NodeKey), Errno> {
        self.check_descriptor_free()?;
        self.orphans.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let node = self.add_node(Kind::Foreign(foreign, Ready::empty()), Volume::Nameless, 0o777, now)?;
        self.nodes[node].links = 1;
        match self.open_node(node, linux::O_RDWR | flags & (linux::O_NONBLOCK | linux::O_CLOEXEC)) {
            Ok(descriptor) => Ok((descriptor, node)),
            Err(errno) => {
                self.orphans.retain(|orphan| *orphan != foreign);
                Err(errno)
            }
        }
    }

    /// Sets the readiness of a file; `news` are the events that have just occurred. Unless there are none, threads that wait
    /// for the file check it again.
    pub fn set_ready(&mut self, node: NodeKey, ready: Ready, news: Ready) {
        if let Kind::Foreign(_, told) = &mut self.nodes[node].kind {
            *told = ready;
            if !news.is_empty() {
                self.notify(node, news);
            }
        }
    }

    /// The file of another part behind a descriptor, if it is one; EBADF if the descriptor is not open.
    pub fn foreign(&self, descriptor: i32) -> Result<Option<Foreign>, Errno> {
        match self.kind(descriptor)? {
            Kind::Foreign(foreign, _) => Ok(Some(*foreign)),
            _ => Ok(None),
        }
    }
}
