//! Record locks of a guest, as the kernel has them: their number is limited, because each takes memory of the kernel, and the files
//! with locks of the guest as a whole are known, because closing any descriptor of such a file would release them.

use super::system::Error;
use libc::{ENOLCK, F_UNLCK, c_short};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Most ranges that are locked at a time.
const RANGES_MAXIMUM: usize = 8192;

/// A file of the host: numbers of its device and inode.
pub type Identity = (u32, u32, u64);

/// Identity of the file with these attributes.
pub fn identity(status: &libc::statx) -> Identity {
    (status.stx_dev_major, status.stx_dev_minor, status.stx_ino)
}

/// Holder of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The guest.
    Guest,
    /// An open file.
    Handle(u32),
}

/// A locked range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
    /// Kind of lock of fcntl(2).
    pub kind: c_short,
}

/// Locks of a guest.
#[derive(Debug, Default)]
pub struct Locks {
    held: HashMap<(Owner, Identity), Vec<Range>>,
    /// Number of all ranges.
    count: usize,
    /// Files that were opened for a request, and would release the guest's locks if they were closed.
    kept: Vec<(Identity, OwnedFd)>,
}

/// Change of an owner's locks on a file, which is to be made.
#[derive(Debug)]
pub struct Change {
    key: (Owner, Identity),
    after: Vec<Range>,
}

impl Locks {
    /// Returns the change by a lock, or its release; ENOLCK if there would be too many locks.
    pub fn change(&self, owner: Owner, file: Identity, range: Range) -> Result<Change, Error> {
        let before = self.held.get(&(owner, file)).map_or(&[][..], Vec::as_slice);
        let after = changed(before, range);
        match self.count - before.len() + after.len() {
            count if count > RANGES_MAXIMUM && after.len() > before.len() => Err(ENOLCK as Error),
            _ => Ok(Change { key: (owner, file), after }),
        }
    }

    /// Notes a change that the kernel has made.
    pub fn made(&mut self, Change { key, after }: Change) {
        if after.is_empty() && key.0 == Owner::Guest {
            self.kept.retain(|(kept, _)| *kept != key.1);
        }
        self.count += after.len();
        let before = if after.is_empty() { self.held.remove(&key) } else { self.held.insert(key, after) };
        self.count -= before.map_or(0, |before| before.len());
    }

    /// Returns true if the guest as a whole has locks on a file.
    fn is_held(&self, file: Identity) -> bool {
        self.held.contains_key(&(Owner::Guest, file))
    }

    /// Number of the files that are kept open.
    pub fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// A file that is kept open because of the guest's locks on it.
    pub fn kept(&self, file: Identity) -> Option<&OwnedFd> {
        self.kept.iter().find(|(kept, _)| *kept == file).map(|(_, open)| open)
    }

    /// Closes a file that was opened for a request, once that does not release locks.
    pub fn put_away(&mut self, identity: Identity, file: OwnedFd) {
        if self.is_held(identity) {
            self.kept.push((identity, file));
        }
    }

    /// Notes that a handle is being closed, which releases its locks, and those of the guest on its file.
    pub fn closed(&mut self, handle: u32, file: Identity) {
        if self.count == 0 {
            return;
        }
        for owner in [Owner::Handle(handle), Owner::Guest] {
            self.made(Change { key: (owner, file), after: Vec::new() });
        }
    }
}

/// Ranges after one is locked, or released: in order, as few as possible.
fn changed(before: &[Range], range: Range) -> Vec<Range> {
    let mut after = Vec::with_capacity(before.len() + 2);
    after.extend(
        before
            .iter()
            .filter(|other| other.start < range.start)
            .map(|other| Range { end: other.end.min(range.start), ..*other }),
    );
    if range.kind != F_UNLCK as c_short {
        after.push(range);
    }
    after.extend(
        before
            .iter()
            .filter(|other| other.end > range.end)
            .map(|other| Range { start: other.start.max(range.end), ..*other }),
    );
    after.dedup_by(|next, last| {
        let joins = last.kind == next.kind && last.end == next.start;
        if joins {
            last.end = next.end;
        }
        joins
    });
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{F_RDLCK, F_WRLCK};

    const FILE: Identity = (1, 2, 3);

    fn range(start: u64, end: u64, kind: i32) -> Range {
        Range { start, end, kind: kind as c_short }
    }

    fn set(locks: &mut Locks, owner: Owner, range: Range) -> Result<(), Error> {
        let change = locks.change(owner, FILE, range)?;
        locks.made(change);
        Ok(())
    }

    #[test]
    fn ranges_are_split_and_joined_as_by_the_kernel() {
        let mut ranges = vec![];
        for (next, expected) in [
            (range(10, 20, F_RDLCK), vec![range(10, 20, F_RDLCK)]),
            (range(20, 30, F_RDLCK), vec![range(10, 30, F_RDLCK)]),
            (range(15, 18, F_WRLCK), vec![range(10, 15, F_RDLCK), range(15, 18, F_WRLCK), range(18, 30, F_RDLCK)]),
            (
                range(12, 13, F_UNLCK),
                vec![range(10, 12, F_RDLCK), range(13, 15, F_RDLCK), range(15, 18, F_WRLCK), range(18, 30, F_RDLCK)],
            ),
            (range(12, 18, F_RDLCK), vec![range(10, 30, F_RDLCK)]),
            (range(0, 5, F_RDLCK), vec![range(0, 5, F_RDLCK), range(10, 30, F_RDLCK)]),
            (range(5, u64::MAX, F_WRLCK), vec![range(0, 5, F_RDLCK), range(5, u64::MAX, F_WRLCK)]),
            (range(0, u64::MAX, F_UNLCK), vec![]),
        ] {
            ranges = changed(&ranges, next);
            assert_eq!(ranges, expected, "{next:?}");
        }
    }

    #[test]
    fn there_are_only_so_many_locks() {
        let mut locks = Locks::default();
        let one = |number: usize| range(number as u64 * 2, number as u64 * 2 + 1, F_WRLCK);
        (0..RANGES_MAXIMUM).for_each(|number| set(&mut locks, Owner::Guest, one(number)).expect("there is room"));
        assert_eq!(set(&mut locks, Owner::Handle(1), one(0)), Err(ENOLCK as Error));
        assert_eq!(set(&mut locks, Owner::Guest, one(RANGES_MAXIMUM)), Err(ENOLCK as Error));
        // What takes no more is allowed: the first of them longer, all of them one, and a release.
        assert_eq!(set(&mut locks, Owner::Guest, range(0, 2, F_WRLCK)), Ok(()));
        assert_eq!(set(&mut locks, Owner::Guest, range(0, u64::MAX, F_RDLCK)), Ok(()));
        assert_eq!((locks.count, set(&mut locks, Owner::Handle(1), one(0))), (1, Ok(())));
        assert_eq!(set(&mut locks, Owner::Guest, range(0, u64::MAX, F_UNLCK)), Ok(()));
        locks.closed(1, FILE);
        assert_eq!((locks.count, locks.held.len()), (0, 0));
    }

    #[test]
    fn a_file_is_kept_open_while_the_guest_has_locks_on_it() {
        let mut locks = Locks::default();
        let open = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
        locks.put_away(FILE, open());
        assert!(locks.kept(FILE).is_none());
        set(&mut locks, Owner::Handle(7), range(0, 1, F_WRLCK)).expect("there is room");
        locks.put_away(FILE, open());
        assert!(locks.kept(FILE).is_none());
        set(&mut locks, Owner::Guest, range(0, 1, F_WRLCK)).expect("there is room");
        locks.put_away(FILE, open());
        assert!(locks.kept(FILE).is_some() && locks.kept((1, 2, 4)).is_none());
        locks.closed(8, (1, 2, 4));
        assert!(locks.kept(FILE).is_some());
        locks.closed(8, FILE);
        assert!(locks.kept(FILE).is_none());
        assert_eq!(locks.count, 1);
        set(&mut locks, Owner::Guest, range(0, 2, F_WRLCK)).expect("there is room");
        locks.put_away(FILE, open());
        set(&mut locks, Owner::Guest, range(0, 1, F_UNLCK)).expect("one is left");
        assert_eq!(locks.kept_count(), 1);
        set(&mut locks, Owner::Guest, range(1, 2, F_UNLCK)).expect("the last one");
        assert_eq!(locks.kept_count(), 0, "nothing is left to be released");
    }
}
