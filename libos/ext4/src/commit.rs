//! End of the running transaction: on request, after a time, and before it, or what waits for its checkpoint, gets large.

use crate::errno::{self, EIO, EROFS, Errno};
use crate::{Disk, Volume};
use alloc::collections::BTreeMap;
use core::sync::atomic::Ordering;
use rsext4::{BlockIo, InodeNumber};

/// Age in nanoseconds at which changes are committed without request, as Linux does.
pub const AGE_NS: u64 = 5_000_000_000;
/// Most blocks of a transaction, unless one request needs more.
const RUNNING_MAXIMUM: usize = 256;
/// Most committed blocks that are not at home.
const KEPT_MAXIMUM: usize = 512;

/// Changes that are not committed.
#[derive(Default)]
pub struct Commits {
    /// Inodes that changed; true if in more than their times.
    changed: BTreeMap<InodeNumber, bool>,
    /// Time of the first change.
    since_ns: Option<u64>,
}

impl Commits {
    /// Notes a change of an inode.
    pub fn changed(&mut self, number: InodeNumber) {
        self.changed.insert(number, true);
    }

    /// Notes a change of the times of an inode.
    pub fn timed(&mut self, number: InodeNumber) {
        self.changed.entry(number).or_insert(false);
    }
}

impl<D: Disk> Volume<D> {
    /// Commits the running transaction, and makes all contents durable that were written.
    pub(crate) fn commit(&mut self) -> Result<(), Errno> {
        self.check_intact()?;
        self.system.sync().map_err(errno::of)?;
        self.commits.changed.clear();
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) fn sync_all(&mut self) -> Result<(), Errno> {
        if self.read_only {
            return Ok(());
        }
        // Contents that have no place keep no others from the disk.
        let settled = self.settle_all();
        self.commit().and(settled)
    }

    /// Makes a file durable: its contents, and what is needed to find them.
    pub(crate) fn sync(&mut self, handle: u32, data_only: bool) -> Result<(), Errno> {
        let number = self.files.get(handle)?.inode;
        let settled = self.settle(number);
        self.late(handle, true)?;
        settled?;
        let as_io = |error| if error == EROFS { EIO } else { error };
        match self.commits.changed.get(&number) {
            Some(is_more) if *is_more || !data_only => self.commit().map_err(as_io),
            _ => {
                self.check_intact().map_err(as_io)?;
                self.system.device().flush().map_err(errno::of)
            }
        }
    }

    /// Returns an error once the disk has refused a write: nothing may be changed any more.
    pub(crate) fn check_intact(&mut self) -> Result<(), Errno> {
        if self.system.device().has_failed() || self.system.is_aborted() { Err(EROFS) } else { Ok(()) }
    }

    /// Returns true if the disk has refused a write, so that the volume is read-only from there on.
    pub fn has_failed(&mut self) -> bool {
        !self.read_only && self.check_intact().is_err()
    }

    fn is_clean(&mut self) -> bool {
        self.read_only
            || self.pending.is_empty() && self.commits.changed.is_empty() && !self.system.device().is_dirty()
            || self.check_intact().is_err()
    }

    /// Commits what has become too large or too old.
    pub(crate) fn tidy(&mut self) {
        let (running, kept) = self.system.journal_blocks();
        // An error stays with the journal, and is that of the next request.
        if kept > KEPT_MAXIMUM {
            let _ = self.commit().and_then(|()| self.system.checkpoint().map_err(errno::of));
        } else if running
            > self.system.transaction_capacity().map_or(RUNNING_MAXIMUM, |most| RUNNING_MAXIMUM.min(most / 2))
        {
            let _ = self.commit();
        }
        self.write_back(self.now_ns.load(Ordering::Relaxed));
    }

    /// Makes durable what is older than [`AGE_NS`]. Returns when it is to be called again; None if all is durable.
    pub fn write_back(&mut self, now_ns: u64) -> Option<u64> {
        if self.is_clean() {
            self.commits.since_ns = None;
            return None;
        }
        let since_ns = *self.commits.since_ns.get_or_insert(now_ns);
        // A clock that was set back starts anew.
        if now_ns < since_ns || now_ns - since_ns >= AGE_NS {
            self.now_ns.store(now_ns, Ordering::Relaxed);
            let _ = self.settle_all();
            let _ = self.commit();
            self.commits.since_ns = None;
            return if self.is_clean() { None } else { Some(now_ns.saturating_add(AGE_NS)) };
        }
        Some(since_ns + AGE_NS)
    }
}
