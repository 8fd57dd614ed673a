//! Events about files, reported to the queues that watch them ([`super::marks`]).
//!
//! As on Linux, an event about a file goes to the watches of its directory, with its name, then to its own. Calls report after they
//! have succeeded. While nothing is watched, a report is one comparison.

use super::Files;
use super::folder::Opened;
use super::handle::NodeKey;
use super::inode::Kind;
use super::marks::{Mark, Of};
use alloc::vec::Vec;
use linux_raw_sys::general::{
    IN_ALL_EVENTS, IN_ATTRIB, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_ONESHOT,
};

/// Events that are never marked as being about a directory.
const ABOUT_ITSELF: u32 = IN_DELETE_SELF | IN_MOVE_SELF;

/// Returns directory and name of a path in a folder; no name for the root.
pub fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], path.get(at + 1..)),
        None if path.is_empty() => (path, None),
        None => (&[], Some(path)),
    }
}

/// The mark of an event about a directory.
fn bit(is_directory: bool) -> u32 {
    if is_directory { IN_ISDIR } else { 0 }
}

impl Files {
    /// Reports an event about a file.
    #[inline]
    pub(super) fn report(&mut self, node: NodeKey, event: u32) {
        if !self.marks.is_empty() {
            self.report_node(node, event, true);
        }
    }

    /// Reports a transfer from or to a descriptor's file, unless it is empty.
    #[inline]
    pub fn report_transfer(&mut self, descriptor: i32, count: u64, event: u32) {
        if !self.marks.is_empty()
            && count > 0
            && let Ok(node) = self.node(descriptor)
        {
            self.report_node(node, event, true);
        }
    }

    /// Reports an event about a file to its own watches only.
    #[inline]
    pub(super) fn report_self(&mut self, node: NodeKey, event: u32) {
        if !self.marks.is_empty() {
            self.report_node(node, event, false);
        }
    }

    #[cold]
    fn report_node(&mut self, node: NodeKey, event: u32, with_parent: bool) {
        let inode = &self.nodes[node];
        let (number, is_directory) = (inode.number, inode.kind.is_directory());
        if let Kind::Folder(Opened { file, path }) = &inode.kind {
            let folder = file.folder;
            // Without memory for the path, the event is lost.
            if let Ok(path) = super::directory::boxed(path) {
                self.report_in_folder(folder, &path, event, is_directory);
            }
            return;
        }
        let event = event | bit(is_directory);
        if with_parent && let Some((home, home_number)) = inode.home {
            let marks = self.marks.of(Of::Memory(home_number));
            if !marks.is_empty() {
                let home = self.nodes.get(home).filter(|home| home.number == home_number);
                let name = home.and_then(|home| home.directory()).and_then(|entries| entries.name_of(node));
                let was = |(of, at, _): &&(u64, u64, _)| *of == number && *at == home_number;
                let before = || self.marks.unlinked.iter().rfind(was).map(|(_, _, name)| &**name);
                let is_unlinked = name.is_none();
                let name = name.or_else(before).and_then(|name| super::directory::boxed(name).ok());
                if let Some(name) = name {
                    self.post(Of::Memory(home_number), event, 0, Some(&name), is_unlinked);
                }
            }
        }
        self.post(Of::Memory(number), event, 0, None, false);
    }

    /// Reports an event about a name in a directory.
    #[inline]
    pub(super) fn report_name(&mut self, directory: NodeKey, name: &[u8], event: u32, node: NodeKey) {
        if !self.marks.is_empty() {
            let bit = bit(self.nodes[node].kind.is_directory());
            let number = self.nodes[directory].number;
            self.post(Of::Memory(number), event | bit, 0, Some(name), false);
        }
    }

    /// Reports that a name in a directory, which was that of a directory itself if `was_directory`, is gone.
    pub(super) fn report_removed(&mut self, directory: NodeKey, name: &[u8], event: u32, was_directory: bool) {
        if !self.marks.is_empty() {
            let number = self.nodes[directory].number;
            self.post(Of::Memory(number), event | bit(was_directory), 0, Some(name), false);
        }
    }

    /// Reports a rename of `node`, and that it has `replaced` another file.
    #[inline]
    pub(super) fn report_rename(
        &mut self,
        from: (NodeKey, &[u8]),
        to: (NodeKey, &[u8]),
        node: NodeKey,
        replaced: Option<NodeKey>,
    ) {
        if self.marks.is_empty() {
            return;
        }
        let bit = bit(self.nodes[node].kind.is_directory());
        let cookie = self.marks.next_cookie();
        for ((directory, name), event) in [(from, IN_MOVED_FROM), (to, IN_MOVED_TO)] {
            let number = self.nodes[directory].number;
            self.post(Of::Memory(number), event | bit, cookie, Some(name), false);
        }
        if let Some(replaced) = replaced {
            self.report_self(replaced, IN_ATTRIB);
        }
        self.report_self(node, IN_MOVE_SELF);
    }

    /// Keeps the name that `node` is about to lose, if its directory is watched: it may be open.
    #[inline]
    pub(super) fn keep_name(&mut self, directory: NodeKey, name: &[u8], node: NodeKey) {
        if self.marks.is_empty() || self.marks.of(Of::Memory(self.nodes[directory].number)).is_empty() {
            return;
        }
        if self.nodes[node].links > 1 && !self.nodes[node].kind.is_directory() {
            // Another name is left.
            return;
        }
        // Without memory, later events about the file go without a name.
        if let (Ok(name), Ok(())) = (super::directory::boxed(name), self.marks.unlinked.try_reserve(1)) {
            self.marks.unlinked.push((self.nodes[node].number, self.nodes[directory].number, name));
        }
    }

    /// Reports that the file with this number is gone.
    #[inline]
    pub(super) fn report_gone(&mut self, number: u64) {
        if !self.marks.is_empty() {
            self.marks.unlinked.retain(|(of, ..)| *of != number);
            self.end_marks(Of::Memory(number), IN_DELETE_SELF);
        }
    }

    /// Reports the last event about a file, and removes its watches.
    pub fn end_marks(&mut self, file: Of<'_>, event: u32) {
        self.post(file, event, 0, None, false);
        while let Some(&Mark { queue, number, .. }) = self.marks.of(file).first() {
            if !self.remove_mark(queue, number) {
                break;
            }
        }
    }

    /// Returns true if anything in a folder is watched.
    #[inline]
    pub fn is_folder_watched(&self, folder: u32) -> bool {
        self.marks.in_folder(folder)
    }

    /// Reports an event about a file of a folder, at this path from its root.
    pub fn report_in_folder(&mut self, folder: u32, path: &[u8], event: u32, is_directory: bool) {
        let event = event | bit(is_directory);
        self.report_name_in_folder(folder, path, event, 0);
        self.post(Of::InFolder(folder, path), event, 0, None, false);
    }

    /// Reports an event about a file of a folder to its own watches only.
    pub fn report_self_in_folder(&mut self, folder: u32, path: &[u8], event: u32) {
        self.post(Of::InFolder(folder, path), event, 0, None, false);
    }

    /// Reports an event about a name in a folder.
    pub fn report_name_in_folder(&mut self, folder: u32, path: &[u8], event: u32, cookie: u32) {
        if let (directory, Some(name)) = split(path) {
            self.post(Of::InFolder(folder, directory), event, cookie, Some(name), false);
        }
    }

    /// Reports a rename in a folder.
    pub fn report_rename_in_folder(&mut self, folder: u32, from: &[u8], to: &[u8], is_directory: bool) {
        let bit = bit(is_directory);
        let cookie = self.marks.next_cookie();
        self.report_name_in_folder(folder, from, IN_MOVED_FROM | bit, cookie);
        self.report_name_in_folder(folder, to, IN_MOVED_TO | bit, cookie);
    }

    /// Adds an event to the queues that watch `file` for it.
    fn post(&mut self, file: Of<'_>, event: u32, cookie: u32, name: Option<&[u8]>, is_unlinked: bool) {
        let event = if event & ABOUT_ITSELF != 0 { event & !IN_ISDIR } else { event };
        let marks = self.marks.of(file);
        if marks.is_empty() {
            return;
        }
        let wants =
            |mark: &&Mark| mark.mask & event & IN_ALL_EVENTS != 0 && !(is_unlinked && mark.mask & IN_EXCL_UNLINK != 0);
        let mut wanting: Vec<Mark> = Vec::new();
        if wanting.try_reserve_exact(marks.len()).is_err() {
            return;
        }
        wanting.extend(marks.iter().filter(wants));
        for Mark { queue, number, mask } in wanting {
            self.queue_event(queue, number, event, cookie, name);
            if mask & IN_ONESHOT != 0 {
                self.remove_mark(queue, number);
            }
        }
    }
}
