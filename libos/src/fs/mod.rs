//! Files: a file system in memory with Linux's semantics, and the descriptors through which a program uses it.
//!
//! A *descriptor* is a number ([`descriptor`]); it stands for an open file *description* ([`description`]) with an
//! offset and flags, which several descriptors may share; a description stands for an *inode* ([`inode`]). Whatever
//! can be opened is an inode, pipes and the like too. [`Files`] owns all of them; its methods are the system calls on
//! files, with arguments already read from the program's memory. Methods are spread over the modules by theme.
//!
//! The program is root and alone: permissions are kept and shown, but refuse nothing.

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

/// All files, and the process's view of them.
#[derive(Debug)]
pub struct Files {
    nodes: Slab<Inode>,
    descriptions: Slab<Description>,
    /// The process's descriptors.
    pub descriptors: Descriptors,
    /// How much memory files take, and may.
    pub space: Space,
    /// Permissions that new files do not get.
    pub umask: u32,
    root: NodeKey,
    /// The working directory.
    directory: NodeKey,
    next_number: u64,
    /// Files whose readiness may have changed: who sleeps for them is to be woken.
    pub news: News,
    /// What is known of the console's input.
    pub input: Input,
    /// Sockets by their abstract names.
    names: HashMap<Name, Reference>,
    /// Timers that run.
    alarms: Alarms,
    /// Files of other parts of the libos that nobody has open any more, for these parts to forget.
    pub orphans: Vec<Foreign>,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Disks that are attached.
    disks: Vec<disk::Attached>,
    /// What the tree is made from when a path is first used; a program that uses none starts without.
    unseeded: Option<seed::Seed>,
    /// Text of `/etc/resolv.conf`, until the tree is made.
    resolver: Vec<u8>,
    /// The files that the image brings.
    tree: Option<Tree>,
}

impl Files {
    /// An empty file system that may take `limit` bytes of memory, without any descriptor. See [`seed`] for a full one.
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

    /// Takes in an inode that nobody but the caller counts on yet.
    fn add_node(&mut self, kind: Kind, volume: Volume, permissions: u32, now: Time) -> Result<NodeKey, Errno> {
        let inode = Inode::new(self.next_number, kind, volume, permissions, now);
        let cost = inode.cost();
        self.space.take(cost)?;
        let node = self.nodes.insert(inode).inspect_err(|_| self.space.give(cost))?;
        self.next_number += 1;
        Ok(node)
    }

    /// Counts once less on `node`; frees it if that was all.
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
