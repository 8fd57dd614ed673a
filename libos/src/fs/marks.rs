//! Watches of inotify(7): which files are watched, by which queues, for what.
//!
//! A file in memory is known by the number of its inode, which no other ever gets. A file of a folder is known by its path there,
//! because it has neither an inode here before it is opened nor the same one afterwards; so another name of it is not watched.

use super::handle::NodeKey;
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use hashbrown::{Equivalent, HashMap};

/// A watched file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum File {
    Memory(u64),
    InFolder(u32, Box<[u8]>),
}

/// A file, to be looked up.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Of<'a> {
    /// In memory: number of the inode.
    Memory(u64),
    /// In the folder with this number: path from its root.
    InFolder(u32, &'a [u8]),
}

impl Of<'_> {
    pub(super) fn owned(self) -> Result<File, Errno> {
        match self {
            Self::Memory(number) => Ok(File::Memory(number)),
            Self::InFolder(folder, path) => super::directory::boxed(path).map(|path| File::InFolder(folder, path)),
        }
    }
}

impl Equivalent<File> for Of<'_> {
    fn equivalent(&self, file: &File) -> bool {
        match (self, file) {
            (Self::Memory(number), File::Memory(other)) => number == other,
            (Self::InFolder(folder, path), File::InFolder(other, at)) => folder == other && **at == **path,
            _ => false,
        }
    }
}

/// A watch.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Queue that gets the events; it removes its watches when it is closed.
    pub queue: NodeKey,
    /// Number of the watch.
    pub number: i32,
    /// Events, and how they are reported.
    pub mask: u32,
}

/// All watches.
#[derive(Debug, Default)]
pub struct Marks {
    pub(super) files: HashMap<File, Vec<Mark>>,
    pub(super) count: usize,
    /// Number of queues.
    pub(super) queues: u32,
    /// Number of the last pair of events about a rename.
    cookie: u32,
    /// Names that open files had in watched directories: inode, directory, name.
    pub unlinked: Vec<(u64, u64, Box<[u8]>)>,
}

impl Marks {
    /// Returns true if nothing is watched.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of the next pair of events about a rename.
    pub(super) fn next_cookie(&mut self) -> u32 {
        self.cookie = self.cookie.wrapping_add(1).max(1);
        self.cookie
    }

    /// The watches of a file.
    pub fn of(&self, file: Of<'_>) -> &[Mark] {
        self.files.get(&file).map_or(&[], Vec::as_slice)
    }

    /// Returns true if anything in this folder is watched.
    pub fn in_folder(&self, folder: u32) -> bool {
        !self.is_empty() && self.files.keys().any(|file| matches!(file, File::InFolder(of, _) if *of == folder))
    }

    /// Removes the watches that are not `kept`.
    pub(super) fn retain(&mut self, mut kept: impl FnMut(&Mark) -> bool) {
        let count = &mut self.count;
        self.files.retain(|_, marks| {
            marks.retain(|mark| {
                let kept = kept(mark);
                *count -= usize::from(!kept);
                kept
            });
            !marks.is_empty()
        });
        if self.count == 0 {
            self.unlinked = Vec::new();
        }
    }

    /// Gives the watches of files in a folder new paths. Without memory, they keep their old ones.
    pub(super) fn renamed(&mut self, folder: u32, moved: impl Fn(&[u8]) -> Option<Box<[u8]>>) {
        let new = |file: &File| match file {
            File::InFolder(of, path) if *of == folder => moved(path).map(|path| File::InFolder(*of, path)),
            _ => None,
        };
        let count = self.files.keys().filter(|file| new(file).is_some()).count();
        let mut changed: Vec<(File, Vec<Mark>)> = Vec::new();
        if changed.try_reserve_exact(count).is_err() || self.files.try_reserve(count).is_err() {
            return;
        }
        changed.extend(self.files.extract_if(|file, _| new(file).is_some()).take(count));
        for (file, marks) in changed {
            self.files.insert(new(&file).unwrap_or(file), marks);
        }
    }
}
