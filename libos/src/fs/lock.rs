//! Locks on files: flock(2) between open file descriptions, and record locks.
//!
//! There is one process, and its own record locks never conflict; those of open file descriptions do.

use super::handle::DescriptionKey;
use crate::errno::Errno;
use alloc::vec::Vec;

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
    pub(super) owner: DescriptionKey,
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
    pub(super) shared: u32,
    /// True if a description has an exclusive flock.
    pub(super) exclusive: bool,
    pub(super) records: Vec<Record>,
}

impl Locks {
    /// Counts a flock that is taken, or uncounts one.
    pub(super) fn count(&mut self, mode: Mode, taken: bool) {
        match (mode, taken) {
            (Mode::Exclusive, _) => self.exclusive = taken,
            (Mode::Shared, true) => self.shared += 1,
            (Mode::Shared, false) => self.shared -= 1,
        }
    }

    /// Record of another description that excludes this one.
    pub(super) fn conflict(&self, owner: DescriptionKey, mode: Mode, start: u64, end: u64) -> Option<Record> {
        self.records.iter().copied().find(|record| {
            record.owner != owner
                && record.start < end
                && start < record.end
                && (mode == Mode::Exclusive || record.mode == Mode::Exclusive)
        })
    }

    /// Removes the range from `start` to `end` from the records of `owner`.
    pub(super) fn clear(&mut self, owner: DescriptionKey, start: u64, end: u64) -> Result<(), Errno> {
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
