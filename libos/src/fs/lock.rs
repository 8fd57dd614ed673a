//! Locks on files: flock(2) between open file descriptions, and record locks.
//!
//! There is one process, and its own record locks never conflict; those of open file descriptions do.

use super::Files;
use super::description::{Access, Description, DescriptionKey};
use super::inode::NodeKey;
use super::poll::Ready;
use super::watch::wait;
use crate::answer::Stop;
use crate::errno::Errno;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// End of a lock on a whole file, however it grows: the byte after the last that a file can have.
pub const WHOLE: u64 = 1 << 63;

/// Mode of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Excludes exclusive locks.
    Shared,
    /// Excludes all locks.
    Exclusive,
}

/// Lock on a range of a file by an open file description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    owner: DescriptionKey,
    /// Shared or exclusive.
    pub mode: Mode,
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// The locks on a file.
#[derive(Debug, Default)]
pub struct Locks {
    /// Number of descriptions with a shared flock.
    shared: u32,
    /// True if a description has an exclusive flock.
    exclusive: bool,
    records: Vec<Record>,
}

impl Locks {
    fn count(&mut self, mode: Mode, taken: bool) {
        match (mode, taken) {
            (Mode::Exclusive, _) => self.exclusive = taken,
            (Mode::Shared, true) => self.shared += 1,
            (Mode::Shared, false) => self.shared -= 1,
        }
    }

    fn conflict(&self, owner: DescriptionKey, mode: Mode, start: u64, end: u64) -> Option<Record> {
        self.records.iter().copied().find(|record| {
            record.owner != owner
                && record.start < end
                && start < record.end
                && (mode == Mode::Exclusive || record.mode == Mode::Exclusive)
        })
    }

    /// Removes the range from `start` to `end` from the records of `owner`.
    fn clear(&mut self, owner: DescriptionKey, start: u64, end: u64) -> Result<(), Errno> {
        self.records.try_reserve(2).map_err(|_| Errno::ENOMEM)?;
        let mut tail = None;
        for record in self.records.iter_mut().filter(|r| r.owner == owner && r.start < end && start < r.end) {
            if record.start < start && record.end > end {
                tail = Some(Record { start: end, ..*record });
            }
            if record.start < start {
                record.end = start;
            } else {
                record.start = record.end.min(end);
            }
        }
        self.records.retain(|record| record.start < record.end);
        self.records.extend(tail);
        Ok(())
    }
}

impl Files {
    /// flock(2). Conversion of a lock is not atomic, as on Linux: if the new lock cannot be had, the old one is lost.
    pub fn lock(&mut self, descriptor: i32, operation: u32) -> Result<(), Stop> {
        let wanted = match operation & !linux::LOCK_NB {
            linux::LOCK_SH => Some(Mode::Shared),
            linux::LOCK_EX => Some(Mode::Exclusive),
            linux::LOCK_UN => None,
            _ => return Err(Errno::EINVAL.into()),
        };
        let key = self.usable(descriptor)?;
        let description = &mut self.descriptions[key];
        if description.lock == wanted {
            return Ok(());
        }
        let node = description.node;
        let before = description.lock.take();
        if let Some(mode) = before {
            self.nodes[node].locks.count(mode, false);
            self.notify(node, Ready::empty());
        }
        let Some(mode) = wanted else { return Ok(()) };
        let locks = &mut self.nodes[node].locks;
        if locks.exclusive || (mode == Mode::Exclusive && locks.shared > 0) {
            return Err(if operation & linux::LOCK_NB != 0 { Errno::EAGAIN.into() } else { wait(node) });
        }
        locks.count(mode, true);
        self.descriptions[key].lock = Some(mode);
        Ok(())
    }

    /// Releases the locks of a closed description.
    pub(super) fn unlock_closed(&mut self, key: DescriptionKey, description: &Description) {
        let locks = &mut self.nodes[description.node].locks;
        let records = locks.records.len();
        locks.records.retain(|record| record.owner != key);
        if let Some(mode) = description.lock {
            locks.count(mode, false);
        }
        if description.lock.is_some() || locks.records.len() != records {
            self.notify(description.node, Ready::empty());
        }
    }

    fn lockable(&self, descriptor: i32, mode: Option<Mode>) -> Result<(DescriptionKey, NodeKey), Errno> {
        let needed = match mode {
            None => Access::empty(),
            Some(Mode::Shared) => Access::READ,
            Some(Mode::Exclusive) => Access::WRITE,
        };
        let key = self.usable_to(descriptor, needed)?;
        Ok((key, self.descriptions[key].node))
    }

    /// `F_SETLK`: always granted, because there is no other process.
    pub fn lock_for_process(&self, descriptor: i32, mode: Option<Mode>) -> Result<(), Errno> {
        self.lockable(descriptor, mode).map(|_| ())
    }

    /// `F_OFD_SETLK` and, if `may_wait`, `F_OFD_SETLKW`.
    pub fn lock_record(
        &mut self,
        descriptor: i32,
        mode: Option<Mode>,
        (start, end): (u64, u64),
        may_wait: bool,
    ) -> Result<(), Stop> {
        let (owner, node) = self.lockable(descriptor, mode)?;
        let locks = &mut self.nodes[node].locks;
        if let Some(mode) = mode
            && locks.conflict(owner, mode, start, end).is_some()
        {
            return Err(if may_wait { wait(node) } else { Errno::EAGAIN.into() });
        }
        locks.clear(owner, start, end)?;
        if let Some(mode) = mode {
            locks.records.push(Record { owner, mode, start, end });
        }
        self.notify(node, Ready::empty());
        Ok(())
    }

    /// `F_OFD_GETLK`: returns a conflicting lock.
    pub fn record_in_the_way(
        &self,
        descriptor: i32,
        mode: Mode,
        (start, end): (u64, u64),
    ) -> Result<Option<Record>, Errno> {
        let key = self.usable(descriptor)?;
        Ok(self.nodes[self.descriptions[key].node].locks.conflict(key, mode, start, end))
    }

    /// The range of a `struct flock`: its end is the byte after the last.
    pub fn lock_range(&self, descriptor: i32, whence: i16, start: i64, length: i64) -> Result<(u64, u64), Errno> {
        let description = &self.descriptions[self.usable(descriptor)?];
        let base = match whence as u32 {
            linux::SEEK_SET => 0,
            linux::SEEK_CUR => description.offset as i64,
            linux::SEEK_END => self.nodes[description.node].size() as i64,
            _ => return Err(Errno::EINVAL),
        };
        let start = base.checked_add(start).ok_or(Errno::EOVERFLOW)?;
        let before = |length: i64| start.checked_add(length).and_then(|start| u64::try_from(start).ok());
        let position = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
        match length {
            0 => Ok((position, WHOLE)),
            1.. => match position + length as u64 {
                end @ ..=WHOLE => Ok((position, end)),
                _ => Err(Errno::EOVERFLOW),
            },
            _ => Ok((before(length).ok_or(Errno::EINVAL)?, position)),
        }
    }
}
