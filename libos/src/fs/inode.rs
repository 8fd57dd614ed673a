//! Inodes: every file that can be opened, whether it has a name, had one, or (as a pipe) never gets one.

use super::data::{Data, PAGE};
use super::description::Access;
use super::device::Device;
use super::directory::Directory;
use super::disk::Disk;
use super::epoll::Epoll;
use super::event::Event;
use super::folder::{Mounted, Opened};
use super::generated::Generated;
use super::handle::{NodeKey, SocketKey};
use super::inotify::Inotify;
use super::lock::Locks;
use super::pipe::Pipe;
use super::queue::Queue;
use super::ready::Ready;
use super::signal::SignalFile;
use super::socket::{Reference, Socket};
use super::timer::Timer;
use super::watch::Watch;
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// File of any kind, without its names.
#[derive(Debug)]
pub struct Inode {
    /// Inode number, never used twice.
    pub number: u64,
    /// Kind of file, with its contents.
    pub kind: Kind,
    /// File system that the inode appears to be on.
    pub mount: Mount,
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub permissions: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Number of names, counted as on Linux: for a directory, also its `.` and its subdirectories' `..`.
    pub links: u32,
    /// Times of access and change.
    pub times: Times,
    /// flock(2) and record locks.
    pub locks: Locks,
    /// The directory in which the inode was last named; also its inode number, because it may be gone.
    pub home: Option<(NodeKey, u64)>,
    /// Sets of files that the inode is in.
    pub watches: Vec<Watch>,
}

/// Kind of an inode. The operations on each are in the table of [`super::file`].
#[derive(Debug)]
pub enum Kind {
    /// A regular file.
    Regular(Data),
    /// A directory.
    Directory(Directory),
    /// A symbolic link to this path.
    Link(Box<[u8]>),
    /// A character device.
    Device(Device),
    /// Text that is made when the file is opened.
    Generated(Generated),
    /// The directory of the process's descriptors.
    Descriptors,
    /// The image that runs.
    Image,
    /// A file of the host at this path that no walk has reached yet ([`super::host`]): no descriptor leads to it.
    Host(Box<[u8]>),
    /// A pipe, with or without a name.
    Pipe(Pipe),
    /// An event counter.
    Event(Event),
    /// A timer.
    Timer(Timer),
    /// Set of files to wait for.
    Epoll(Epoll),
    /// A file of signals.
    Signal(SignalFile),
    /// A queue of inotify(7).
    Inotify(Box<Inotify>),
    /// A message queue of POSIX.
    Queue(Box<Queue>),
    /// A disk.
    Disk(Disk),
    /// A socket of `AF_UNIX`.
    Unix(Box<Socket>),
    /// The path of a socket, which may be gone.
    SocketName(Option<Reference>),
    /// A socket of the internet families, with its readiness.
    Internet(SocketKey, Ready),
    /// An open file of a folder.
    Folder(Opened),
    /// The place of a folder.
    Mounted(Mounted),
}

/// File system that an inode appears to be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The file system in memory.
    Memory,
    /// `/proc`.
    Process,
    /// `/sys`.
    System,
    /// No file system: pipes and the like.
    Nameless,
}

impl Mount {
    /// Device number of the file system, major and minor.
    pub fn device(self) -> (u32, u32) {
        match self {
            Self::Memory => (0, 2),
            Self::Process => (0, 3),
            Self::System => (0, 4),
            Self::Nameless => (0, 5),
        }
    }

    /// Magic number of the file system.
    pub fn magic(self) -> u32 {
        match self {
            Self::Memory => linux::TMPFS_MAGIC,
            Self::Process => linux::PROC_SUPER_MAGIC,
            Self::System => linux::SYSFS_MAGIC,
            Self::Nameless => linux::PIPEFS_MAGIC,
        }
    }
}

/// A point in time, counted from 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds beyond the whole seconds, below a thousand million.
    pub nanoseconds: u32,
}

impl Time {
    /// The time `ns` nanoseconds after 1970 began.
    pub fn from_ns(ns: u64) -> Self {
        Self { seconds: (ns / 1_000_000_000) as i64, nanoseconds: (ns % 1_000_000_000) as u32 }
    }
}

/// Times of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Last read of the contents.
    pub accessed: Time,
    /// Last write of the contents.
    pub modified: Time,
    /// Last change of the contents or the metadata.
    pub changed: Time,
    /// Creation.
    pub born: Time,
}

impl Times {
    /// Sets all times to `now`.
    pub fn all(now: Time) -> Self {
        Self { accessed: now, modified: now, changed: now, born: now }
    }
}

impl Inode {
    /// An inode without a name.
    pub fn new(number: u64, kind: Kind, mount: Mount, permissions: u32, now: Time) -> Self {
        let links = if kind.is_directory() { 2 } else { 0 };
        let permissions = permissions & 0o7777;
        let times = Times::all(now);
        let locks = Locks::default();
        let watches = Vec::new();
        Self { number, kind, mount, permissions, user: 0, group: 0, links, times, locks, home: None, watches }
    }

    /// The file mode: kind and permissions.
    pub fn mode(&self) -> u32 {
        self.kind.format() | self.permissions
    }

    /// Size in bytes for stat. A directory has the size that it has on most disks up to hundreds of entries, because some
    /// programs compare the sizes of directories, which would grow with each entry on a tmpfs.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::Regular(data) => data.size(),
            Kind::Directory(_) => PAGE,
            Kind::Link(target) => target.len() as u64,
            Kind::Device(Device::Console(stream)) => stream.size,
            _ => 0,
        }
    }

    /// Memory that the inode takes by itself, in bytes: entries of a directory are counted with their names.
    pub fn cost(&self) -> u64 {
        let contents = match &self.kind {
            Kind::Regular(data) => data.pages() * PAGE,
            Kind::Link(target) => target.len() as u64,
            Kind::Host(path) => path.len() as u64,
            Kind::Pipe(pipe) => pipe.cost(),
            Kind::Folder(opened) => opened.path.len() as u64,
            _ => 0,
        };
        size_of::<Self>() as u64 + contents
    }

    /// Entries of the directory, if the inode is an ordinary one.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Returns the entries like [`Inode::directory`], mutably.
    pub fn directory_mut(&mut self) -> Option<&mut Directory> {
        match &mut self.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Updates the times after a write at `now`.
    pub fn modified(&mut self, now: Time) {
        self.times.modified = now;
        self.times.changed = now;
    }

    /// Updates the access time after a read at `now`, by the rules of Linux's `relatime`.
    pub fn accessed(&mut self, now: Time) {
        const DAY: i64 = 24 * 60 * 60;
        let Times { accessed, modified, changed, .. } = self.times;
        if accessed <= modified || accessed <= changed || now.seconds.saturating_sub(accessed.seconds) >= DAY {
            self.times.accessed = now;
        }
    }

    /// Returns an arbitrary inode.
    #[cfg(test)]
    pub fn for_test() -> Self {
        Self::new(1, Kind::Regular(Data::default()), Mount::Memory, 0o644, Time::default())
    }
}

impl Kind {
    /// Bits of the kind in a file mode.
    pub fn format(&self) -> u32 {
        match self {
            Self::Regular(_) | Self::Generated(_) | Self::Image | Self::Queue(_) => linux::S_IFREG,
            Self::Directory(_) | Self::Descriptors => linux::S_IFDIR,
            Self::Link(_) => linux::S_IFLNK,
            Self::Device(Device::Console(stream)) => stream.format(),
            Self::Device(_) => linux::S_IFCHR,
            Self::Pipe(_) => linux::S_IFIFO,
            Self::Unix(_) | Self::Internet(..) | Self::SocketName(_) => linux::S_IFSOCK,
            Self::Disk(_) => linux::S_IFBLK,
            Self::Folder(opened) => opened.file.format,
            Self::Mounted(mounted) if mounted.is_file => linux::S_IFREG,
            Self::Mounted(_) => linux::S_IFDIR,
            // A listing shows a file of the host as one of unknown kind.
            Self::Event(_) | Self::Timer(_) | Self::Epoll(_) | Self::Signal(_) | Self::Host(_) => 0,
            Self::Inotify(_) => 0,
        }
    }

    /// Returns true if the file has no offset.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Pipe(_) | Self::Event(_) | Self::Timer(_) | Self::Signal(_) | Self::Epoll(_) => true,
            Self::Unix(_) | Self::Internet(..) => true,
            Self::Device(device) => matches!(device, Device::Console(_)),
            Self::Regular(_) | Self::Disk(_) | Self::Generated(_) | Self::Image | Self::Host(_) => false,
            Self::Directory(_) | Self::Descriptors | Self::Link(_) | Self::SocketName(_) => false,
            Self::Folder(_) | Self::Mounted(_) | Self::Inotify(_) | Self::Queue(_) => false,
        }
    }

    /// Checks a transfer: ESPIPE for an offset in a file that has none, EBADF for an access that the description does not have.
    #[inline]
    pub fn check(&self, at: Option<u64>, access: Access, has: Access) -> Result<(), Errno> {
        if at.is_some() && self.is_stream() {
            return Err(Errno::ESPIPE);
        }
        if has.contains(access) { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Returns true if waiting for the file makes sense.
    pub fn can_be_waited_for(&self) -> bool {
        match self {
            Self::Pipe(_) | Self::Event(_) | Self::Timer(_) | Self::Signal(_) | Self::Epoll(_) => true,
            Self::Inotify(_) | Self::Queue(_) | Self::Unix(_) | Self::Internet(..) => true,
            Self::Device(device) => matches!(device, Device::Console(_) | Device::Random(_)),
            Self::Regular(_) | Self::Disk(_) | Self::Generated(_) | Self::Image | Self::Host(_) => false,
            Self::Directory(_) | Self::Descriptors | Self::Link(_) | Self::SocketName(_) => false,
            Self::Folder(_) | Self::Mounted(_) => false,
        }
    }

    /// Returns true if one call transfers all buffers of a vector.
    pub fn takes_vectors(&self) -> bool {
        matches!(self, Self::Unix(_) | Self::Internet(..) | Self::Disk(_) | Self::Folder(_))
    }

    /// Target of a link to a file without a name in `/proc/self/fd`, up to the inode number, if it has one.
    pub fn nameless(&self) -> Option<&'static str> {
        match self {
            Self::Pipe(_) => Some("pipe:"),
            Self::Unix(_) | Self::Internet(..) => Some("socket:"),
            Self::Event(_) => Some("anon_inode:[eventfd]"),
            Self::Timer(_) => Some("anon_inode:[timerfd]"),
            Self::Epoll(_) => Some("anon_inode:[eventpoll]"),
            Self::Signal(_) => Some("anon_inode:signalfd:"),
            Self::Inotify(_) => Some("anon_inode:inotify"),
            _ => None,
        }
    }

    /// Returns true for a directory of any sort.
    pub fn is_directory(&self) -> bool {
        match self {
            Self::Directory(_) | Self::Descriptors => true,
            Self::Folder(_) | Self::Mounted(_) => self.format() == linux::S_IFDIR,
            _ => false,
        }
    }
}
