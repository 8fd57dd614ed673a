//! Calls of inotify(7): queues are made, and watches are added and removed ([`super::marks`]).

use super::Files;
use super::folder::Opened;
use super::handle::NodeKey;
use super::inode::{Kind, Mount, Time};
use super::marks::{Mark, Of};
use super::moved::moved;
use super::ready::Ready;
use crate::errno::Errno;
use alloc::boxed::Box;
use linux_raw_sys::general as linux;

/// Most queues, and most watches, by Linux's defaults.
const QUEUES_MAXIMUM: u32 = 128;
const MARKS_MAXIMUM: usize = 65536;
/// Memory that a watch takes, in bytes: entry, key, and room to grow.
const COST: u64 = 128;
/// Bits that inotify_add_watch(2) takes.
const KNOWN: u32 = linux::IN_ALL_EVENTS
    | linux::IN_UNMOUNT
    | linux::IN_Q_OVERFLOW
    | linux::IN_IGNORED
    | linux::IN_ONLYDIR
    | linux::IN_DONT_FOLLOW
    | linux::IN_EXCL_UNLINK
    | linux::IN_MASK_ADD
    | linux::IN_MASK_CREATE
    | linux::IN_ISDIR
    | linux::IN_ONESHOT;
/// Bits of a mask that a watch keeps.
const KEPT: u32 = linux::IN_ALL_EVENTS | linux::IN_EXCL_UNLINK | linux::IN_ONESHOT;

impl Files {
    /// inotify_init1(2).
    pub fn inotify(&mut self, flags: u32, now: Time) -> Result<i32, Errno> {
        if flags & !(linux::IN_NONBLOCK | linux::IN_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        if self.marks.queues >= QUEUES_MAXIMUM {
            return Err(Errno::EMFILE);
        }
        let kind = Kind::Inotify(Box::default());
        let node = self.add_node(kind, Mount::Nameless, 0o600, now)?;
        self.nodes[node].links = 1;
        self.marks.queues += 1;
        self.open_node(node, linux::O_RDONLY | flags)
    }

    /// Forgets a queue that is closed.
    pub(super) fn close_inotify(&mut self, node: NodeKey) {
        let before = self.marks.count;
        self.marks.retain(|mark| mark.queue != node);
        self.marks.queues = self.marks.queues.saturating_sub(1);
        self.quota.give((before - self.marks.count) as u64 * COST);
        if let Kind::Inotify(inotify) = &mut self.nodes[node].kind {
            inotify.clear(&mut self.quota);
        }
    }

    /// The queue behind a descriptor, for a watch with this mask.
    pub fn inotify_node(&self, descriptor: i32, mask: u32) -> Result<NodeKey, Errno> {
        if mask & !KNOWN != 0 || mask & KNOWN == 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.descriptions[self.usable(descriptor)?].node;
        let contradicts = mask & linux::IN_MASK_ADD != 0 && mask & linux::IN_MASK_CREATE != 0;
        match self.nodes[node].kind {
            Kind::Inotify(_) if !contradicts => Ok(node),
            _ => Err(Errno::EINVAL),
        }
    }

    /// inotify_add_watch(2) for a path that leads into no folder.
    pub fn watch(&mut self, queue: NodeKey, directory: i32, path: &[u8], mask: u32) -> Result<i32, Errno> {
        let node = self.resolve(directory, path, mask & linux::IN_DONT_FOLLOW == 0)?;
        let inode = &self.nodes[node];
        if mask & linux::IN_ONLYDIR != 0 && !inode.kind.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let number = inode.number;
        if let Kind::Folder(Opened { file, path }) = &inode.kind {
            let (folder, path) = (file.folder, super::directory::boxed(path)?);
            return self.watch_file(queue, Of::InFolder(folder, &path), mask);
        }
        self.watch_file(queue, Of::Memory(number), mask)
    }

    /// Adds a watch of a file, or changes that of the same queue. Returns its number.
    pub fn watch_file(&mut self, queue: NodeKey, file: Of<'_>, mask: u32) -> Result<i32, Errno> {
        let present =
            self.marks.files.get_mut(&file).and_then(|marks| marks.iter_mut().find(|mark| mark.queue == queue));
        if let Some(mark) = present {
            if mask & linux::IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let kept = if mask & linux::IN_MASK_ADD != 0 { mark.mask } else { 0 };
            mark.mask = kept | mask & KEPT;
            return Ok(mark.number);
        }
        if self.marks.count >= MARKS_MAXIMUM {
            return Err(Errno::ENOSPC);
        }
        let owned = file.owned().map_err(|_| Errno::ENOMEM)?;
        self.marks.files.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let Kind::Inotify(inotify) = &mut self.nodes[queue].kind else { return Err(Errno::EINVAL) };
        let number = inotify.last_watch.checked_add(1).ok_or(Errno::ENOSPC)?;
        self.quota.take(COST)?;
        let marks = self.marks.files.entry(owned).or_default();
        if marks.try_reserve(1).is_err() {
            self.quota.give(COST);
            self.marks.files.retain(|_, marks| !marks.is_empty());
            return Err(Errno::ENOMEM);
        }
        marks.push(Mark { queue, number, mask: mask & KEPT });
        inotify.last_watch = number;
        self.marks.count += 1;
        Ok(number)
    }

    /// inotify_rm_watch(2).
    pub fn unwatch(&mut self, descriptor: i32, number: i32) -> Result<(), Errno> {
        let queue = self.inotify_node(descriptor, linux::IN_ALL_EVENTS)?;
        if self.remove_mark(queue, number) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Removes a watch and reports that; returns false if there is none.
    pub(super) fn remove_mark(&mut self, queue: NodeKey, number: i32) -> bool {
        let before = self.marks.count;
        self.marks.retain(|mark| mark.queue != queue || mark.number != number);
        if self.marks.count == before {
            return false;
        }
        self.quota.give(COST);
        self.queue_event(queue, number, linux::IN_IGNORED, 0, None);
        true
    }

    /// Watches what has been renamed in a folder at its new path: `from` is `to` now, and, if `is_exchange`, `to` is `from`.
    pub fn move_marks_in_folder(&mut self, folder: u32, from: &[u8], to: &[u8], is_exchange: bool) {
        let back = |path: &[u8]| if is_exchange { moved(path, to, from) } else { None };
        self.marks.renamed(folder, |path| moved(path, from, to).or_else(|| back(path)));
    }

    /// Adds an event to a queue.
    pub(super) fn queue_event(&mut self, queue: NodeKey, watch: i32, mask: u32, cookie: u32, name: Option<&[u8]>) {
        if let Kind::Inotify(inotify) = &mut self.nodes[queue].kind
            && inotify.push(&mut self.quota, watch, mask, cookie, name)
        {
            self.notify(queue, Ready::IN);
        }
    }
}
