//! Locks: flock(2) of handles, and ranges of fcntl(2) of handles and of the guest as a whole.
//!
//! The volume is the guest's alone, so all locks are here. None waits: EAGAIN means that another owner holds one.

use crate::errno::{EAGAIN, EBADF, EINVAL, ENOLCK, Errno};
use crate::{Data, Disk, Volume};
use alloc::vec::Vec;
use husk_abi::folder::{Lock, PROCESS, Request};
use rsext4::InodeNumber;
use zerocopy::IntoBytes;

/// Kinds of lock of fcntl(2).
const F_RDLCK: u32 = 0;
const F_WRLCK: u32 = 1;
const F_UNLCK: u32 = 2;
/// Operations of flock(2).
const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;
/// Most ranges.
const RANGES_MAXIMUM: usize = 4096;

/// Owner of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Guest,
    Handle(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    inode: InodeNumber,
    owner: Owner,
    start: u64,
    /// End, exclusive; [`u64::MAX`] without an end.
    end: u64,
    is_exclusive: bool,
}

/// Table of locks.
#[derive(Default)]
pub struct Locks {
    ranges: Vec<Range>,
    /// Locks of flock(2): inode, handle, and whether it is exclusive.
    whole: Vec<(InodeNumber, u32, bool)>,
}

impl Locks {
    /// Releases what a handle holds, and what the guest holds on its file, as close(2) does.
    pub fn closed(&mut self, handle: u32, inode: InodeNumber) {
        self.whole.retain(|(_, holder, _)| *holder != handle);
        let is_kept = |range: &Range| {
            range.owner != Owner::Handle(handle) && !(range.owner == Owner::Guest && range.inode == inode)
        };
        self.ranges.retain(is_kept);
    }

    fn flock(&mut self, inode: InodeNumber, handle: u32, operation: u32) -> Result<(), Errno> {
        let is_exclusive = match operation & !LOCK_NB {
            LOCK_UN => {
                self.whole.retain(|(_, holder, _)| *holder != handle);
                return Ok(());
            }
            LOCK_SH => false,
            LOCK_EX => true,
            _ => return Err(EINVAL),
        };
        // A conversion gives the old lock up first (flock(2)).
        self.whole.retain(|(_, holder, _)| *holder != handle);
        let is_taken = |(of, _, exclusive): &(InodeNumber, u32, bool)| *of == inode && (is_exclusive || *exclusive);
        if self.whole.iter().any(is_taken) {
            return Err(EAGAIN);
        }
        self.whole.push((inode, handle, is_exclusive));
        Ok(())
    }

    /// First range of another owner in the way of one.
    fn conflict(&self, wanted: &Range) -> Option<&Range> {
        let is_in_the_way = |range: &&Range| {
            range.inode == wanted.inode
                && range.owner != wanted.owner
                && range.start < wanted.end
                && wanted.start < range.end
                && (range.is_exclusive || wanted.is_exclusive)
        };
        self.ranges.iter().filter(is_in_the_way).min_by_key(|range| range.start)
    }

    /// Sets a range, or releases it.
    fn set(&mut self, wanted: Range, releases: bool) -> Result<(), Errno> {
        if !releases && self.conflict(&wanted).is_some() {
            return Err(EAGAIN);
        }
        let is_own = |range: &Range| range.inode == wanted.inode && range.owner == wanted.owner;
        let (own, mut after): (Vec<Range>, Vec<Range>) = self.ranges.iter().partition(|range| is_own(range));
        let mut joined = wanted;
        for range in own {
            let touches = range.start <= joined.end && joined.start <= range.end;
            if !releases && touches && range.is_exclusive == wanted.is_exclusive {
                joined = Range { start: joined.start.min(range.start), end: joined.end.max(range.end), ..joined };
                continue;
            }
            let parts = [
                Range { end: range.end.min(wanted.start), ..range },
                Range { start: range.start.max(wanted.end), ..range },
            ];
            after.extend(parts.into_iter().filter(|part| part.start < part.end));
        }
        if !releases {
            after.push(joined);
        }
        if after.len() > RANGES_MAXIMUM && after.len() > self.ranges.len() {
            return Err(ENOLCK);
        }
        self.ranges = after;
        Ok(())
    }
}

impl<D: Disk> Volume<D> {
    pub(crate) fn flock(&mut self, request: &Request) -> Result<(), Errno> {
        let open = self.files.get(request.handle)?;
        if !open.reads && !open.writes {
            return Err(EBADF);
        }
        self.locks.flock(open.inode, request.handle, request.flags)
    }

    pub(crate) fn lock(&mut self, takes: bool, request: &Request, data: &mut dyn Data) -> Result<(), Errno> {
        let open = self.files.get(request.handle)?;
        if !open.reads && !open.writes {
            return Err(EBADF);
        }
        let (is_exclusive, releases) = match request.flags {
            F_RDLCK => (false, false),
            F_WRLCK => (true, false),
            F_UNLCK if takes => (false, true),
            _ => return Err(EINVAL),
        };
        if takes && !releases && !(if is_exclusive { open.writes } else { open.reads }) {
            return Err(EBADF);
        }
        let [start, count] = [request.offset, request.count].map(|number| i64::try_from(number).map_err(|_| EINVAL));
        let (start, count) = (start?.cast_unsigned(), count?.cast_unsigned());
        let end = if count == 0 { u64::MAX } else { start + count };
        let owner = if request.mode == PROCESS { Owner::Guest } else { Owner::Handle(request.handle) };
        let wanted = Range { inode: open.inode, owner, start, end, is_exclusive };
        if takes {
            return self.locks.set(wanted, releases);
        }
        let lock = match self.locks.conflict(&wanted) {
            Some(range) => Lock {
                kind: if range.is_exclusive { F_WRLCK } else { F_RDLCK },
                reserved: 0,
                start: range.start,
                length: if range.end == u64::MAX { 0 } else { range.end - range.start },
            },
            None => Lock { kind: F_UNLCK, reserved: 0, start: request.offset, length: request.count },
        };
        if data.length() != lock.as_bytes().len() as u64 {
            return Err(EINVAL);
        }
        data.write(0, lock.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec;

    fn inode() -> InodeNumber {
        InodeNumber::new(12).expect("a number")
    }

    fn range(owner: Owner, start: u64, end: u64, is_exclusive: bool) -> Range {
        Range { inode: inode(), owner, start, end, is_exclusive }
    }

    #[test]
    fn ranges_are_split_and_joined_as_by_linux() {
        let mut locks = Locks::default();
        let mut check = |wanted: Range, releases, expected: &[(u64, u64, bool)]| {
            locks.set(wanted, releases).expect("it is free");
            let mut held: Vec<_> =
                locks.ranges.iter().map(|range| (range.start, range.end, range.is_exclusive)).collect();
            held.sort_unstable();
            assert_eq!(held, expected);
        };
        let own = |start, end, is_exclusive| range(Owner::Guest, start, end, is_exclusive);
        check(own(10, 20, false), false, &[(10, 20, false)]);
        check(own(20, 30, false), false, &[(10, 30, false)]);
        check(own(15, 18, true), false, &[(10, 15, false), (15, 18, true), (18, 30, false)]);
        check(own(12, 13, false), true, &[(10, 12, false), (13, 15, false), (15, 18, true), (18, 30, false)]);
        check(own(12, 18, false), false, &[(10, 30, false)]);
        check(own(5, u64::MAX, true), false, &[(5, u64::MAX, true)]);
        check(own(0, u64::MAX, false), true, &[]);
    }

    #[test]
    fn owners_exclude_each_other_until_they_close() {
        let mut locks = Locks::default();
        let (guest, other) = (Owner::Guest, Owner::Handle(3));
        assert_eq!(locks.set(range(guest, 0, 10, true), false), Ok(()));
        assert_eq!(locks.set(range(other, 5, 6, false), false), Err(EAGAIN));
        assert_eq!(locks.set(range(other, 10, 12, true), false), Ok(()));
        assert_eq!(locks.conflict(&range(guest, 0, 11, false)).map(|range| range.owner), Some(other));
        locks.closed(3, inode());
        assert_eq!(locks.ranges, vec![]);
        assert_eq!(locks.flock(inode(), 1, LOCK_SH), Ok(()));
        assert_eq!(locks.flock(inode(), 2, LOCK_SH | LOCK_NB), Ok(()));
        assert_eq!(locks.flock(inode(), 2, LOCK_EX), Err(EAGAIN));
        locks.closed(1, inode());
        assert_eq!(locks.flock(inode(), 2, LOCK_EX), Ok(()));
        assert_eq!(locks.flock(inode(), 4, LOCK_SH), Err(EAGAIN));
    }
}
