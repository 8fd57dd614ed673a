//! Files: a file system in memory with Linux's semantics, and the descriptors through which a program uses it.
//!
//! A *descriptor* is a number ([`descriptor`]); it stands for an open file *description* ([`description`]) with an offset and
//! flags, which several descriptors may share; a description stands for an *inode* ([`inode`]). Every file that can be opened
//! is an inode, pipes and the like too. [`Files`] owns all inodes; its methods are the system calls on files, with arguments
//! already read from the program's memory. The methods are spread over the modules by theme.
//!
//! The program is the only process, and all files are its own: permissions are stored and shown, but refuse nothing.

pub mod buffers;
pub mod console;
pub mod copy;
pub mod create;
pub mod data;
pub mod description;
pub mod descriptor;
pub mod device;
pub mod directory;
pub mod disk;
pub mod epoll;
pub mod event;
pub mod external;
pub mod file;
pub mod folder;
pub mod generated;
pub mod handle;
pub mod hold;
pub mod host;
pub mod inode;
pub mod inotify;
pub mod interests;
pub mod layout;
pub mod link;
pub mod listing;
pub mod lock;
pub mod locking;
pub mod mapping;
pub mod marks;
pub mod metadata;
pub mod mirror;
pub mod mounts;
pub mod moved;
pub mod network_table;
mod networks;
pub mod offset;
pub mod open;
pub mod opening;
pub mod path;
pub mod pipe;
pub mod place;
pub mod queue;
pub mod queues;
pub mod quota;
pub mod ready;
pub mod rename;
pub mod report;
pub mod seed;
pub mod segment;
pub mod shared;
pub mod signal;
pub mod size;
pub mod slab;
pub mod socket;
pub mod source;
pub mod status;
pub mod steps;
pub mod table;
pub mod tasks;
pub mod timer;
pub mod timers;
pub mod times;
pub mod tree;
pub mod unfold;
pub mod watch;
pub mod watching;

#[cfg(test)]
pub(crate) mod tests;

use crate::errno::Errno;
use crate::identity::Caller;
use alloc::vec::Vec;
use description::Description;
use descriptor::Descriptors;
use device::Input;
use directory::Directory;
use disk::Attached;
use folder::{Folder, FolderFile};
use handle::{Node, NodeKey, Open, SocketKey};
use hashbrown::HashMap;
use host::HostFiles;
use husk::abi::boot::HOSTNAME;
use inode::{Inode, Kind, Mount, Time};
use mapping::Mappings;
use marks::Marks;
use network_table::Networks;
use queue::Named;
use quota::Quota;
use ready::Ready;
use slab::Slab;
use socket::Reference;
use socket::name::Name;
use timer::Alarms;
use tree::{Seed, Tree};
use watch::{ReadyList, Watch};

/// The file system, and the process's view of it.
#[derive(Debug)]
pub struct Files {
    nodes: Slab<Inode, Node>,
    descriptions: Slab<Description, Open>,
    /// The process's descriptors.
    pub descriptors: Descriptors,
    /// Memory that files take, and its limit.
    pub quota: Quota,
    /// Users and groups of the thread that makes a call.
    pub caller: Caller,
    /// Permissions that new files do not get.
    pub umask: u32,
    root: NodeKey,
    /// The working directory.
    directory: NodeKey,
    next_number: u64,
    /// Files with changed readiness: threads that sleep for them must be woken.
    pub ready_list: ReadyList,
    /// Input of the console, as far as it is known.
    pub input: Input,
    /// Sockets by their abstract names.
    names: HashMap<Name, Reference>,
    /// Timers that are armed.
    alarms: Alarms,
    /// Files of signals.
    signal_files: Vec<NodeKey>,
    /// Sockets of the internet families that are not open any more, for their owner to release.
    pub orphans: Vec<SocketKey>,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Disks, until the tree is made.
    disks: Vec<Attached>,
    /// Folders of the host.
    folders: Vec<Folder>,
    /// Index of the first folder whose place cannot be made, and the reason.
    misplaced: Option<(usize, Errno)>,
    /// Number of files of folders that are open, and those that are not any more, for their owner to close.
    open_files: usize,
    /// See `open_files`.
    pub closed_files: Vec<FolderFile>,
    /// Source of the tree, which is made when a path is first used; a program that uses no path starts without it.
    unseeded: Option<Seed>,
    /// Text of `/etc/resolv.conf`, until the tree is made.
    resolver: Vec<u8>,
    /// Files in the image.
    tree: Option<Tree>,
    /// Files that the host offers.
    pub host_files: HostFiles,
    /// Interfaces of the network.
    pub networks: Networks,
    /// Name of the machine.
    pub hostname: &'static [u8],
    /// Shared mappings of files.
    pub mappings: Mappings,
    /// Watches of inotify(7).
    marks: Marks,
    /// Message queues of POSIX that have names, and the bytes by which all count.
    queues: Vec<Named>,
    queue_bytes: u64,
}

impl Files {
    /// Returns an empty file system of at most `limit` bytes of memory, without any descriptor. See [`seed`] for a full one.
    pub fn empty(limit: u64, now: Time) -> Result<Self, Errno> {
        let mut nodes = Slab::default();
        let root = nodes.insert(Inode::new(1, Kind::Descriptors, Mount::Memory, 0o755, now))?;
        nodes[root].kind = Kind::Directory(Directory::new(root));
        nodes.retain(root);
        Ok(Self {
            nodes,
            descriptions: Slab::default(),
            descriptors: Descriptors::default(),
            quota: Quota { used: 0, limit },
            caller: Caller::default(),
            umask: 0o022,
            root,
            directory: root,
            next_number: 2,
            ready_list: ReadyList::default(),
            input: Input::Unknown,
            names: HashMap::new(),
            alarms: Alarms::default(),
            signal_files: Vec::new(),
            orphans: Vec::new(),
            image_size: 0,
            disks: Vec::new(),
            folders: Vec::new(),
            misplaced: None,
            open_files: 0,
            closed_files: Vec::new(),
            unseeded: None,
            resolver: Vec::new(),
            tree: None,
            host_files: HostFiles::default(),
            networks: Networks::default(),
            hostname: HOSTNAME.as_bytes(),
            mappings: Mappings::default(),
            marks: Marks::default(),
            queues: Vec::new(),
            queue_bytes: 0,
        })
    }

    /// Adds an inode; the caller holds the only reference.
    fn add_node(&mut self, kind: Kind, mount: Mount, permissions: u32, now: Time) -> Result<NodeKey, Errno> {
        let mut inode = Inode::new(self.next_number, kind, mount, permissions, now);
        if mount == Mount::Nameless {
            (inode.user, inode.group) = self.caller.files;
        }
        let cost = inode.cost();
        self.quota.take(cost)?;
        let node = self.nodes.insert(inode).inspect_err(|_| self.quota.give(cost))?;
        self.next_number += 1;
        Ok(node)
    }

    /// Drops a reference to `node`; frees the inode with the last one.
    fn release(&mut self, mut node: NodeKey) {
        while let Some(inode) = self.nodes.release(node) {
            self.quota.give(inode.cost());
            self.report_gone(inode.number);
            match inode.kind {
                Kind::Internet(socket, _) => self.orphans.push(socket),
                Kind::Queue(queue) => self.queue_gone(&queue),
                Kind::Folder(opened) => {
                    self.open_files -= 1;
                    self.closed_files.push(opened.file);
                }
                Kind::Directory(directory) => {
                    node = directory.parent;
                    continue;
                }
                _ => {}
            }
            return;
        }
    }

    /// Notes that `node` may have become ready for `what`.
    pub fn notify(&mut self, node: NodeKey, what: Ready) {
        self.ready_list.add(node);
        let mut at = 0;
        while let Some(&Watch { set, entry }) = self.nodes[node].watches.get(at) {
            // A nested set is a file of the outer set; no set contains itself, so the recursion ends.
            if let Kind::Epoll(epoll) = &mut self.nodes[set].kind
                && epoll.happened(entry, what)
            {
                self.notify(set, Ready::IN);
            }
            at += 1;
        }
    }

    /// Sets the readiness of a socket of the internet families; `events` have just occurred. Unless there are
    /// none, threads that wait for the socket check it again.
    pub fn set_ready(&mut self, node: NodeKey, to: Ready, events: Ready) {
        if let Kind::Internet(_, ready) = &mut self.nodes[node].kind {
            *ready = to;
            if !events.is_empty() {
                self.notify(node, events);
            }
        }
    }

    /// Returns true if anything is watched by inotify(7): then any call may have changed what is ready.
    #[inline]
    pub fn is_watched(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Returns true if there is a file of signals.
    #[inline]
    pub fn has_signal_files(&self) -> bool {
        !self.signal_files.is_empty()
    }

    /// The signals that files are for.
    pub fn signals_of_files(&self) -> u64 {
        self.signal_files.iter().fold(0, |set, node| match &self.nodes[*node].kind {
            Kind::Signal(file) => set | file.set,
            _ => set,
        })
    }

    /// Updates the files of signals when these are pending for the program.
    pub fn signals_pending(&mut self, pending: u64) {
        for at in 0..self.signal_files.len() {
            let node = self.signal_files[at];
            if let Kind::Signal(file) = &mut self.nodes[node].kind
                && file.update(pending)
            {
                self.notify(node, Ready::IN);
            }
        }
    }
}
