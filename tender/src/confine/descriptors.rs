//! Descriptors by purpose, so that a filter can restrict a call to the descriptors that it is for.
//!
//! Every descriptor is known when the threads confine themselves, except sockets of the user-mode network, which come and
//! go. No file that was open by then is closed or duplicated later (the filters refuse it), so a number never changes its
//! meaning: a descriptor that is not listed was made since.

use std::fmt;
use std::os::fd::{AsRawFd, RawFd};

/// Purpose of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Standard input.
    Input,
    /// Standard output and standard error.
    Output,
    /// A standard stream that is a terminal.
    Terminal,
    /// The image and its debug files.
    Image,
    /// The map of the tender's own populated pages (`/proc/self/pagemap`).
    Pages,
    /// An eventfd(2) between the threads.
    Bell,
    /// A virtual machine of KVM.
    Machine,
    /// A virtual processor of KVM.
    Processor,
    /// A TAP interface.
    Interface,
    /// The connection with passt.
    Passt,
    /// The epoll(7) instance of a user-mode network.
    Watch,
    /// The socket of a published port.
    Published,
    /// The netlink(7) socket for queries of the host's routing table.
    Routes,
    /// A file of the host that the guest may read.
    HostFile,
    /// A folder of the host whose files the guest may read.
    HostFolder,
    /// The file of a disk.
    Disk,
    /// The io_uring(7) of a disk.
    Ring,
    /// The directory or file of a folder.
    Folder,
    /// The pidfd of the tender, in its watchdog or supervisor.
    Tender,
    /// The status file, in the supervisor.
    Status,
}

/// The descriptors of a process, with their purposes.
#[derive(Clone, Debug)]
pub struct Descriptors {
    known: Vec<(Role, RawFd)>,
    /// The kernel's number of the timer of turns, which is no descriptor, if there is one.
    pub turns: Option<u32>,
}

impl Default for Descriptors {
    /// The standard streams.
    fn default() -> Self {
        let known = vec![
            (Role::Input, libc::STDIN_FILENO),
            (Role::Output, libc::STDOUT_FILENO),
            (Role::Output, libc::STDERR_FILENO),
        ];
        Self { known, turns: None }
    }
}

impl Descriptors {
    /// Records the purpose of an open file.
    pub fn add(&mut self, role: Role, file: &impl AsRawFd) {
        self.known.push((role, file.as_raw_fd()));
    }

    /// Returns the descriptors with this role.
    pub fn of(&self, role: Role) -> impl Iterator<Item = RawFd> {
        self.known.iter().filter(move |(known, _)| *known == role).map(|(_, descriptor)| *descriptor)
    }

    /// Returns all descriptors.
    pub fn all(&self) -> impl Iterator<Item = RawFd> {
        self.known.iter().map(|(_, descriptor)| *descriptor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "standard input",
            Self::Output => "standard output or error",
            Self::Terminal => "the terminal",
            Self::Image => "the image or its debug file",
            Self::Pages => "the map of husk's own pages",
            Self::Bell => "an eventfd between the threads",
            Self::Machine => "the virtual machine",
            Self::Processor => "the virtual processor",
            Self::Interface => "the interface",
            Self::Passt => "the connection with passt",
            Self::Watch => "the network's epoll instance",
            Self::Published => "the socket of a published port",
            Self::Routes => "the socket of the routing table",
            Self::HostFile => "a file of the host that the guest may read",
            Self::HostFolder => "the folder of time zones",
            Self::Disk => "the disk",
            Self::Ring => "the disk's io_uring",
            Self::Folder => "the folder",
            Self::Tender => "the pidfd of husk",
            Self::Status => "the status file",
        })
    }
}
