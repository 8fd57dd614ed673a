//! Files: a file system in memory with Linux's semantics, and the descriptors through which a program uses it.
//!
//! A *descriptor* is a number ([`descriptor`]); it stands for an open file *description* ([`description`]) with an offset and
//! flags, which several descriptors may share; a description stands for an *inode* ([`inode`]). Every file that can be opened
//! is an inode, pipes and the like too. [`Files`] owns all inodes; its methods are the system calls on files, with arguments
//! already read from the program's memory. The methods are spread over the modules by theme.
//!
//! The program is root and the only process: permissions are stored and shown, but refuse nothing.

pub mod buffers;
pub mod console;
pub mod copy;
pub mod data;
pub mod description;
pub mod descriptor;
pub mod device;
pub mod directory;
pub mod disk;
pub mod epoll;
pub mod event;
pub mod foreign;
pub mod generated;
pub mod inode;
pub mod layout;
pub mod link;
pub mod listing;
pub mod lock;
pub mod metadata;
pub mod open;
pub mod opening;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod rename;
pub mod seed;
pub mod size;
pub mod slab;
pub mod socket;
pub mod source;
pub mod space;
pub mod tasks;
pub mod timer;
pub mod times;
pub mod transfer;
pub mod tree;
pub mod watch;

#[cfg(test)]
pub(crate) mod tests;

use crate::errno::Errno;
use alloc::vec::Vec;
use console::Input;
use description::Description;
use descriptor::Descriptors;
use directory::Directory;
use foreign::Foreign;
use hashbrown::HashMap;
use inode::{Inode, Kind, NodeKey, Time, Volume};
use slab::Slab;
use socket::Reference;
use socket::name::Name;
use space::Space;
use timer::Alarms;
use tree::Tree;
use watch::News;

/// The file system, and the process's view of it.
#[derive(Debug)]
pub struct Files {
    nodes: Slab<Inode>,
    descriptions: Slab<Description>,
    /// The process's descriptors.
    pub descriptors: Descriptors,
    /// Memory that files take, and its limit.
    pub space: Space,
    /// Permissions that new files do not get.
    pub umask: u32,
    root: NodeKey,
    /// The working directory.
    directory: NodeKey,
    next_number: u64,
    /// Files with changed readiness: threads that sleep for them must be woken.
    pub news: News,
    /// Input of the console, as far as it is known.
    pub input: Input,
    /// Sockets by their abstract names.
    names: HashMap<Name, Reference>,
    /// Timers that are armed.
    alarms: Alarms,
    /// Files of other parts of the libos that are not open any more, for these parts to release.
    pub orphans: Vec<Foreign>,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Attached disks.
    disks: Vec<disk::Attached>,
    /// Source of the tree, which is made when a path is first used; a program that uses no path starts without it.
    unseeded: Option<seed::Seed>,
    /// Text of `/etc/resolv.conf`, until the tree is made.
    resolver: Vec<u8>,
    /// Files in the image.
    tree: Option<Tree>,
}

impl Files {
    /// Returns an empty file system of at most `limit` bytes of memory, without any descriptor. See [`seed`] for a full one.
    pub fn empty(limit: u64, now: Time) -> Result<Self, Errno> {
        let mut nodes = Slab::default();
        let root = nodes.insert(Inode::new(1, Kind::Descriptors, Volume::Memory, 0o755, now))?;
        nodes[root].kind = Kind::Directory(Directory::new(root));
        nodes.retain(root);
        Ok(Self {
            nodes,
            descriptions: Slab::default(),
            descriptors: Descriptors::default(),
            space: Space { used: 0, limit },
            umask: 0o022,
            root,
            directory: root,
            next_number: 2,
            news: News::default(),
            input: Input::Unknown,
            names: HashMap::new(),
            alarms: Alarms::default(),
            orphans: Vec::new(),
            image_size: 0,
            disks: Vec::new(),
            unseeded: None,
            resolver: Vec::new(),
            tree: None,
        })
    }

    /// Adds an inode; the caller holds the only reference.
    fn add_node(&mut self, kind: Kind, volume: Volume, permissions: u32, now: Time) -> Result<NodeKey, Errno> {
        let inode = Inode::new(self.next_number, kind, volume, permissions, now);
        let cost = inode.cost();
        self.space.take(cost)?;
        let node = self.nodes.insert(inode).inspect_err(|_| self.space.give(cost))?;
        self.next_number += 1;
        Ok(node)
    }

    /// Drops a reference to `node`; frees the inode with the last one.
    fn release(&mut self, mut node: NodeKey) {
        while let Some(inode) = self.nodes.release(node) {
            self.space.give(inode.cost());
            match inode.kind {
                Kind::Foreign(foreign, _) => self.orphans.push(foreign),
                Kind::Directory(directory) => {
                    node = directory.parent;
                    continue;
                }
                _ => {}
            }
            return;
        }
    }
}
