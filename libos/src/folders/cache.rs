//! Attributes of files of folders, kept for a moment ([`LIFETIME_NS`]): from requests for them, and from opening files.
//!
//! A change by the host is seen once what was known before has expired. A change by the program is seen at once: the request that
//! makes it discards what it may concern when it is submitted. As the tender carries out the requests of a folder in order, attributes
//! asked for after that have the change in them; those asked for before are discarded when they arrive ([`Asked::stamp`]).
//!
//! Neither a file that is not there, nor a link's target, nor contents are kept, and files are always opened by the host. Taking a
//! lock discards all: what another holder of the lock has changed is seen.

use alloc::boxed::Box;
use alloc::vec::Vec;
use husk::abi::folder::*;
use linux_raw_sys::general::{__O_TMPFILE, O_CREAT, O_EXCL, O_NOFOLLOW, O_TRUNC};

/// Time for which attributes are kept from the request for them, in nanoseconds.
pub const LIFETIME_NS: u64 = 100_000_000;
/// Number of places for attributes, a power of two: each key has one of them.
const PLACES: usize = 1024;
/// Number of stamps for files and for handles, a power of two each.
const STAMPS: usize = 256;

/// A request as it was submitted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Operation.
    pub operation: u16,
    /// Number of the folder among all devices.
    pub folder: u32,
    /// Number of the last discard before the submission.
    stamp: u64,
    /// Monotonic time of the submission, in nanoseconds.
    time_ns: u64,
}

/// Attributes of one file.
#[derive(Debug)]
struct Entry {
    folder: u32,
    base: u32,
    no_follow: bool,
    path: Vec<u8>,
    attributes: Attributes,
    stamp: u64,
    until_ns: u64,
}

/// Attributes of files.
#[derive(Debug, Default)]
pub struct Cache {
    /// Empty as long as nothing has been kept.
    places: Vec<Option<Box<Entry>>>,
    /// Stamps from which attributes of a file are valid, by its inode number; behind them those by handles at which paths begin.
    stamps: Vec<u64>,
    /// Stamp from which any attributes are valid.
    all: u64,
    /// The last stamp.
    last: u64,
}

/// What a path is looked up by.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Number of the folder among all devices.
    pub folder: u32,
    /// Directory at which the path begins, or the file itself, with an empty path.
    pub base: u32,
    /// True if a link at the end is not followed.
    pub no_follow: bool,
    /// The path.
    pub path: &'a [u8],
}

impl Key<'_> {
    /// Index of the place (FNV-1a).
    fn place(&self) -> usize {
        let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(self.folder) ^ u64::from(self.base) << 32;
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let hash = self.path.iter().copied().chain([self.no_follow.into()]).fold(start, step);
        (hash ^ hash >> 32) as usize % PLACES
    }

    fn is_of(&self, entry: &Entry) -> bool {
        entry.folder == self.folder
            && entry.base == self.base
            && entry.no_follow == self.no_follow
            && entry.path == self.path
    }
}

impl Cache {
    /// Attributes that are known of a file.
    pub fn find(&self, key: Key<'_>, now_ns: u64) -> Option<Attributes> {
        let entry = self.places.get(key.place())?.as_deref().filter(|entry| key.is_of(entry))?;
        let from = self.all.max(self.stamp(file(&entry.attributes))).max(self.stamp(handle(entry.base)));
        (entry.stamp >= from && now_ns < entry.until_ns).then_some(entry.attributes)
    }

    /// Discards what a request may change, which is being submitted: about the file with this inode number, if that is known.
    pub fn submitted(
        &mut self,
        (operation, folder): (u16, u32),
        request: &Request,
        number: Option<u64>,
        time_ns: u64,
    ) -> Asked {
        let changes = match operation {
            // An access of a link changes its time of access only, which is seen when the attributes expire.
            STAT | SPACE | GET_LOCK | SEEK | READ_LINK => false,
            OPEN => request.flags & (O_CREAT | O_TRUNC | __O_TMPFILE) != 0,
            _ => true,
        };
        if changes {
            self.last += 1;
            let at = match (operation, number) {
                (CLOSE, _) => Some(handle(request.handle)),
                (READ | WRITE | LIST | SET | SYNC | ALLOCATE, Some(number)) => Some(number as usize % STAMPS),
                _ => None,
            };
            match at.and_then(|at| self.stamps.get_mut(at)) {
                Some(stamp) => *stamp = self.last,
                None => self.all = self.last,
            }
        }
        Asked { operation, folder, stamp: self.last, time_ns }
    }

    /// Keeps the attributes in the answer to a request with this path.
    pub fn answered(&mut self, asked: &Asked, request: &Request, path: &[u8], answer: &Answer) {
        if answer.error != 0 {
            return;
        }
        let Asked { operation, folder, .. } = *asked;
        let key = Key { folder, base: request.handle, no_follow: false, path };
        match operation {
            STAT => {
                let no_follow = request.flags & Flags::NO_FOLLOW.bits() != 0;
                self.keep(Key { no_follow, ..key }, asked, &answer.attributes);
            }
            OPEN => {
                let exclusive = request.flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
                if request.flags & __O_TMPFILE != __O_TMPFILE {
                    let no_follow = exclusive || request.flags & O_NOFOLLOW != 0;
                    self.keep(Key { no_follow, ..key }, asked, &answer.attributes);
                }
                self.keep(Key { base: answer.handle, path: b"", ..key }, asked, &answer.attributes);
            }
            _ => {}
        }
    }

    fn keep(&mut self, key: Key<'_>, asked: &Asked, attributes: &Attributes) {
        if self.places.is_empty() && self.make_room().is_none() {
            return;
        }
        let Some(place) = self.places.get_mut(key.place()) else { return };
        let mut path = place.as_mut().map_or(Vec::new(), |entry| core::mem::take(&mut entry.path));
        path.clear();
        if path.try_reserve(key.path.len()).is_err() {
            *place = None;
            return;
        }
        path.extend_from_slice(key.path);
        let Key { folder, base, no_follow, .. } = key;
        let until_ns = asked.time_ns.saturating_add(LIFETIME_NS);
        let entry = Entry { folder, base, no_follow, path, attributes: *attributes, stamp: asked.stamp, until_ns };
        match place {
            Some(before) => **before = entry,
            None => *place = Some(Box::new(entry)),
        }
    }

    fn make_room(&mut self) -> Option<()> {
        self.places.try_reserve_exact(PLACES).ok()?;
        self.stamps.try_reserve_exact(2 * STAMPS).ok()?;
        self.places.resize_with(PLACES, || None);
        self.stamps.resize(2 * STAMPS, 0);
        Some(())
    }

    fn stamp(&self, at: usize) -> u64 {
        self.stamps.get(at).copied().unwrap_or(0)
    }
}

/// Index of the stamp of the file with these attributes.
fn file(attributes: &Attributes) -> usize {
    attributes.number as usize % STAMPS
}

/// Index of the stamp of a handle.
fn handle(handle: u32) -> usize {
    STAMPS + handle as usize % STAMPS
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'static> = Key { folder: 3, base: ROOT, no_follow: false, path: b"a/b" };
    /// Key of the file that a handle stands for.
    const OPENED: Key<'static> = Key { base: 5, path: b"", ..KEY };

    /// Answer about a file with this inode number.
    fn answer(number: u64) -> Answer {
        Answer { attributes: Attributes { number, ..Attributes::default() }, handle: 5, ..Answer::default() }
    }

    fn at(handle: u32, flags: u32) -> Request {
        Request { handle, flags, ..Request::default() }
    }

    /// Cache with a file of number 7, known by its path and, at time 0, by a handle.
    fn filled() -> Cache {
        let mut cache = Cache::default();
        let asked = cache.submitted((OPEN, 3), &at(ROOT, 0), None, 0);
        cache.answered(&asked, &at(ROOT, 0), KEY.path, &answer(7));
        cache
    }

    /// Numbers of what is known by path and by handle.
    fn known(cache: &Cache) -> [Option<u64>; 2] {
        [KEY, OPENED].map(|key| cache.find(key, 1).map(|attributes| attributes.number))
    }

    #[test]
    fn attributes_are_kept_for_a_moment() {
        let cache = filled();
        assert_eq!(known(&cache), [Some(7); 2]);
        assert!(cache.find(KEY, LIFETIME_NS - 1).is_some());
        assert!(cache.find(KEY, LIFETIME_NS).is_none());
        for other in [
            Key { folder: 4, ..KEY },
            Key { base: 1, ..KEY },
            Key { no_follow: true, ..KEY },
            Key { path: b"a/c", ..KEY },
        ] {
            assert!(cache.find(other, 1).is_none(), "{other:?}");
        }
        assert!(Cache::default().find(KEY, 1).is_none());
    }

    #[test]
    fn a_request_discards_what_it_may_change() {
        let all = [None; 2];
        for (operation, request, number, expected) in [
            (STAT, at(ROOT, 0), None, [Some(7); 2]),
            (OPEN, at(ROOT, 0), None, [Some(7); 2]),
            (READ_LINK, at(ROOT, 0), None, [Some(7); 2]),
            (SEEK, at(5, 0), Some(7), [Some(7); 2]),
            (READ, at(5, 0), Some(8), [Some(7); 2]),
            (CLOSE, at(6, 0), None, [Some(7); 2]),
            (CLOSE, at(5, 0), None, [Some(7), None]),
            (READ, at(5, 0), Some(7), all),
            (WRITE, at(9, 0), Some(7), all),
            (SET, at(9, 0), Some(7), all),
            (SET, at(ROOT, 0), None, all),
            (OPEN, at(ROOT, O_TRUNC), None, all),
            (OPEN, at(ROOT, O_CREAT), None, all),
            (UNLINK, at(ROOT, 0), None, all),
            (RENAME, at(ROOT, 0), None, all),
            (LINK, at(ROOT, 0), None, all),
            (MAKE_DIRECTORY, at(ROOT, 0), None, all),
            (FLOCK, at(5, 0), Some(8), all),
            (LOCK, at(5, 0), Some(8), all),
        ] {
            let mut cache = filled();
            cache.submitted((operation, 3), &request, number, 1);
            assert_eq!(known(&cache), expected, "{operation}");
        }
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let mut cache = Cache::default();
        let before = cache.submitted((STAT, 3), &at(ROOT, 0), None, 1);
        cache.submitted((WRITE, 3), &at(5, 0), Some(7), 1);
        let after = cache.submitted((STAT, 3), &at(ROOT, 0), None, 1);
        cache.answered(&before, &at(ROOT, 0), KEY.path, &answer(7));
        assert_eq!(known(&cache), [None; 2]);
        cache.answered(&after, &at(ROOT, 0), KEY.path, &answer(7));
        assert_eq!(known(&cache), [Some(7), None]);
    }

    #[test]
    fn only_what_an_answer_is_about_is_kept() {
        let mut cache = Cache::default();
        let no_follow = Key { no_follow: true, ..KEY };
        let mut ask = |operation, flags, error| {
            let asked = cache.submitted((operation, 3), &at(ROOT, flags), None, 1);
            cache.answered(&asked, &at(ROOT, flags), KEY.path, &Answer { error, ..answer(7) });
            [KEY, no_follow, OPENED].map(|key| cache.find(key, 1).is_some())
        };
        assert_eq!(ask(STAT, 0, 2), [false; 3]);
        assert_eq!(ask(STAT, Flags::NO_FOLLOW.bits(), 0), [false, true, false]);
        assert_eq!(ask(OPEN, __O_TMPFILE | O_CREAT, 0), [false, false, true]);
        assert_eq!(ask(OPEN, O_CREAT | O_EXCL, 0), [false, true, true]);
        assert_eq!(ask(OPEN, O_NOFOLLOW, 0), [false, true, true]);
        assert_eq!(ask(MAKE_DIRECTORY, 0, 0), [false; 3]);
    }
}
