//! Open files: handles, and what is known of the inodes behind them.

use crate::errno::{self, EBADF, EMFILE, Errno};
use crate::{Disk, Volume};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use husk_abi::folder::{HANDLES_MAXIMUM, ROOT};
use rsext4::{DirectoryReader, FileExtent, InodeInfo, InodeNumber};

/// An open file.
pub struct Open {
    pub inode: InodeNumber,
    /// The file may be read, written to; neither if it is open by its path only (O_PATH).
    pub reads: bool,
    pub writes: bool,
    /// Writes are durable before their answer (O_DSYNC, O_SYNC).
    pub durable: bool,
    /// Position in a directory, which makes listing faster.
    pub reader: Option<DirectoryReader>,
    /// End of the last read, and of what was read ahead.
    pub read_to: u64,
    pub ahead_to: u64,
    /// Number of late errors of the inode that this handle knows of.
    pub errors_seen: u32,
}

/// State of an inode that is open.
#[derive(Default)]
pub struct Inode {
    handles: u32,
    /// The last name is gone: the inode is freed at the last close.
    is_nameless: bool,
    pub late: Late,
    /// Attributes and places on the disk, until they change.
    pub known: Option<Known>,
}

/// Errors of writes that were answered before they were carried out. Each handle gets the last one once; so does each that is opened
/// before any call has returned it (as Linux's errseq_t).
#[derive(Clone, Copy, Default)]
pub struct Late {
    pub count: u32,
    pub error: Errno,
    /// A call that makes the file durable has returned the last one.
    pub is_seen: bool,
}

/// Attributes of a file, and where its contents lie.
pub struct Known {
    pub info: InodeInfo,
    pub extents: Option<Vec<FileExtent>>,
}

/// Table of open files.
#[derive(Default)]
pub struct Files {
    handles: Vec<Option<Open>>,
    free: Vec<u32>,
    inodes: BTreeMap<InodeNumber, Inode>,
    /// Late errors that no call had returned when the last handle was closed.
    unseen: BTreeMap<InodeNumber, Late>,
}

impl Files {
    /// Returns an error if there are as many handles as there may be.
    pub fn check_room(&self) -> Result<(), Errno> {
        if self.free.is_empty() && self.handles.len() >= HANDLES_MAXIMUM as usize { Err(EMFILE) } else { Ok(()) }
    }

    /// Adds an open file. Returns its handle.
    pub fn add(&mut self, open: Open) -> Result<u32, Errno> {
        self.check_room()?;
        let inode = self.inodes.entry(open.inode).or_default();
        inode.handles += 1;
        if let Some(late) = self.unseen.remove(&open.inode) {
            inode.late = late;
        }
        let unseen = inode.late.count > 0 && !inode.late.is_seen;
        let open = Open { errors_seen: inode.late.count.wrapping_sub(unseen.into()), ..open };
        let handle = self.free.pop().unwrap_or(self.handles.len() as u32);
        match self.handles.get_mut(handle as usize) {
            Some(place) => *place = Some(open),
            None => self.handles.push(Some(open)),
        }
        Ok(handle)
    }

    pub fn get(&self, handle: u32) -> Result<&Open, Errno> {
        self.handles.get(handle as usize).and_then(Option::as_ref).ok_or(EBADF)
    }

    pub fn get_mut(&mut self, handle: u32) -> Result<&mut Open, Errno> {
        self.handles.get_mut(handle as usize).and_then(Option::as_mut).ok_or(EBADF)
    }

    /// Returns what is known of an inode, if it is open.
    pub fn inode(&mut self, number: InodeNumber) -> Option<&mut Inode> {
        self.inodes.get_mut(&number)
    }

    /// Forgets what an operation has changed.
    pub fn changed(&mut self, number: InodeNumber) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.known = None;
        }
    }

    /// Removes a handle. Returns its inode, and true if that is to be freed.
    fn remove(&mut self, handle: u32) -> Result<(InodeNumber, bool), Errno> {
        let place = self.handles.get_mut(handle as usize).ok_or(EBADF)?;
        let number = place.take().ok_or(EBADF)?.inode;
        self.free.push(handle);
        let Some(inode) = self.inodes.get_mut(&number) else { return Ok((number, false)) };
        inode.handles -= 1;
        if inode.handles > 0 {
            return Ok((number, false));
        }
        let (is_nameless, late) = (inode.is_nameless, inode.late);
        self.inodes.remove(&number);
        if late.count > 0 && !late.is_seen && !is_nameless {
            self.unseen.insert(number, late);
        }
        Ok((number, is_nameless))
    }
}

impl<D: Disk> Volume<D> {
    /// Inode of a handle, which may be open in any way.
    pub(crate) fn inode_of(&self, handle: u32) -> Result<InodeNumber, Errno> {
        if handle == ROOT { Ok(self.system.root_inode()) } else { Ok(self.files.get(handle)?.inode) }
    }

    /// Attributes of an inode.
    pub(crate) fn info(&mut self, number: InodeNumber) -> Result<InodeInfo, Errno> {
        if let Some(known) = self.files.inode(number).and_then(|inode| inode.known.as_ref()) {
            return Ok(known.info);
        }
        let info = self.system.inode(number).map_err(errno::of)?;
        if let Some(inode) = self.files.inode(number) {
            inode.known = Some(Known { info, extents: None });
        }
        Ok(info)
    }

    /// Closes a handle, and frees a file without a name at its last one.
    pub(crate) fn close(&mut self, handle: u32) -> Result<(), Errno> {
        let open = self.files.get(handle)?;
        let (number, is_path) = (open.inode, !open.reads && !open.writes);
        // A file that is open by its path only has no locks to release.
        if !is_path {
            self.locks.closed(handle, number);
        }
        // No write outlives the last handle, through which its error can be returned.
        let settled = if self.files.inode(number).is_some_and(|inode| inode.handles == 1 && !inode.is_nameless) {
            self.settle(number)
        } else {
            Ok(())
        };
        // Few programs look at the result of close(2), so that the error is not seen by that.
        let late = if is_path { Ok(()) } else { self.late(handle, false) };
        let (number, is_nameless) = self.files.remove(handle)?;
        if self.files.inode(number).is_none() {
            self.pending.forget(number);
        }
        if !is_nameless {
            return late.and(settled);
        }
        self.reap(number)
    }

    /// Notes that a name of an inode is gone; frees the inode if that was the last one, and nothing has it open.
    pub(crate) fn unnamed(&mut self, number: InodeNumber, was_last: bool) -> Result<(), Errno> {
        self.files.changed(number);
        if !was_last {
            return Ok(());
        }
        match self.files.inode(number) {
            Some(inode) => {
                inode.is_nameless = true;
                Ok(())
            }
            None => {
                self.pending.forget(number);
                self.reap(number)
            }
        }
    }

    fn reap(&mut self, number: InodeNumber) -> Result<(), Errno> {
        self.files.unseen.remove(&number);
        self.commits.changed(number);
        self.system.reap_unlinked_inode(number).map_err(errno::of)
    }

    /// Closes all handles.
    pub(crate) fn release_all(&mut self) -> Result<(), Errno> {
        let mut result = Ok(());
        for handle in 0..self.files.handles.len() as u32 {
            match self.close(handle) {
                Ok(()) | Err(EBADF) => {}
                failed => result = result.and(failed),
            }
        }
        result
    }
}
