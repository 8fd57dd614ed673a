//! Calls on locks: flock(2) and the record locks of fcntl(2).

use super::Files;
use super::description::{Access, Description};
use super::handle::{DescriptionKey, NodeKey};
use super::lock::{Mode, Record, WHOLE};
use super::ready::Ready;
use super::watch::wait;
use crate::errno::Errno;
use crate::syscall_result::Stop;
use linux_raw_sys::general as linux;

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
