//! Files that another part of the libos keeps: here they have a descriptor and flags, there everything else.
//!
//! That part opens one by [`Files::open_foreign`] with a handle of its own, finds it again by [`Files::foreign`] when a
//! call names its descriptor, says by [`Files::set_ready`] what it is ready for, and forgets it when it turns up in
//! [`Files::orphans`]. So whoever waits for files need not ask other parts.

use super::Files;
use super::inode::{Kind, NodeKey, Time, Volume};
use super::poll::Ready;
use crate::errno::Errno;
use linux_raw_sys::general as linux;

/// A file of another part of the libos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Which part.
    pub owner: Owner,
    /// What that part knows it by.
    pub handle: u32,
}

/// Parts of the libos that keep files of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Sockets.
    Socket,
    /// Signals to wait for.
    Signal,
    /// Disks.
    Disk,
}

impl Owner {
    /// What the link to such a file reads as, up to the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Signal => "anon_inode:signalfd",
            Self::Disk => "disk",
        }
    }

    /// The bits of such a file in a mode.
    pub fn format(self) -> u32 {
        match self {
            Self::Socket => linux::S_IFSOCK,
            Self::Signal => 0,
            Self::Disk => linux::S_IFBLK,
        }
    }
}

impl Files {
    /// Opens a file of another part of the libos; of `flags`, `O_NONBLOCK` and `O_CLOEXEC` count. Tells its descriptor,
    /// and its inode for [`Files::set_ready`], which is there until the file becomes an orphan. It does not if this fails.
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

    /// Says what a file is ready for from now on, and for what something new has just happened; whoever waits for the
    /// file looks again unless that is nothing.
    pub fn set_ready(&mut self, node: NodeKey, ready: Ready, news: Ready) {
        if let Kind::Foreign(_, told) = &mut self.nodes[node].kind {
            *told = ready;
            if !news.is_empty() {
                self.notify(node, news);
            }
        }
    }

    /// The file of another part that a descriptor stands for, if it does. EBADF if it stands for nothing.
    pub fn foreign(&self, descriptor: i32) -> Result<Option<Foreign>, Errno> {
        match self.kind(descriptor)? {
            Kind::Foreign(foreign, _) => Ok(Some(*foreign)),
            _ => Ok(None),
        }
    }
}
