//! Directories on the way to files, kept open for a moment ([`LIFETIME_NS`]): a file beside the last one is reached without a walk.
//!
//! A walk costs more than everything else about most requests, and programs go through one directory after the other. What the guest
//! changes is seen at once: the requests that may make a path lead elsewhere close all directories.
//!
//! For as long, it is known of the last file that it can be opened: a program that opens a file again, or has asked for its attributes,
//! has its kind looked at once.

use super::system::{self, Error};
use crate::host::time::monotonic_ns;
use std::ffi::{CStr, CString};
use std::os::fd::{OwnedFd, RawFd};

/// Time for which a directory is kept, in nanoseconds: a path that the host has changed may lead to the old one for so long.
const LIFETIME_NS: u64 = 10_000_000;
/// Most directories that are kept.
const KEPT: usize = 64;

/// A directory with its path.
#[derive(Debug)]
struct Way {
    /// Directory at which the path begins.
    handle: u32,
    path: Vec<u8>,
    directory: OwnedFd,
    until_ns: u64,
}

/// Directories that are kept.
#[derive(Debug, Default)]
pub struct Ways {
    kept: Vec<Way>,
    /// Index of the one to be replaced next.
    next: usize,
    /// Path of the last regular file or directory: where it begins, and the end of that knowledge.
    openable: Option<(u32, CString, u64)>,
}

impl Ways {
    /// Returns the directory at `path`, which begins at `handle`, and opens it if need be.
    pub fn reach(
        &mut self,
        handle: u32,
        path: &[u8],
        open: impl FnOnce() -> Result<OwnedFd, Error>,
    ) -> Result<RawFd, Error> {
        let now_ns = monotonic_ns();
        if self.kept.iter().any(|way| now_ns >= way.until_ns) {
            self.kept.retain(|way| now_ns < way.until_ns);
            self.next = 0;
        }
        if let Some(way) = self.kept.iter().find(|way| way.handle == handle && way.path == path) {
            return Ok(system::raw(&way.directory));
        }
        let way = Way { handle, path: path.to_vec(), directory: open()?, until_ns: now_ns + LIFETIME_NS };
        let directory = system::raw(&way.directory);
        if self.kept.len() < KEPT {
            self.kept.push(way);
        } else {
            self.kept[self.next] = way;
            self.next = (self.next + 1) % KEPT;
        }
        Ok(directory)
    }

    /// Notes that there is a regular file or directory at `path`, which begins at `handle`.
    pub fn note_openable(&mut self, handle: u32, path: &CStr) {
        let until_ns = monotonic_ns() + LIFETIME_NS;
        match &mut self.openable {
            Some((known, name, until)) if *known == handle && name.as_c_str() == path => *until = until_ns,
            other => *other = Some((handle, path.to_owned(), until_ns)),
        }
    }

    /// Returns true if there was a regular file or directory at `path` a moment ago.
    pub fn is_openable(&self, handle: u32, path: &CStr) -> bool {
        let known = self.openable.as_ref().filter(|(known, name, _)| *known == handle && name.as_c_str() == path);
        known.is_some_and(|(_, _, until_ns)| monotonic_ns() < *until_ns)
    }

    /// Closes the directories whose paths begin at a handle, which is being closed.
    pub fn forget_from(&mut self, handle: u32) {
        self.openable.take_if(|(known, ..)| *known == handle);
        self.kept.retain(|way| way.handle != handle);
        self.next = 0;
    }

    /// Closes all directories.
    pub fn forget(&mut self) {
        self.openable = None;
        self.kept.clear();
    }

    /// Calls `each` with every open directory.
    #[cfg(any(test, fuzzing))]
    pub fn each(&self, each: impl FnMut(RawFd)) {
        self.kept.iter().map(|way| system::raw(&way.directory)).for_each(each);
    }
}

/// Splits a path before its last name, unless that is all, or is followed by a slash, or stands for a directory on the way.
pub fn split(path: &CStr) -> Option<(&[u8], &CStr)> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).ok()?;
    let is_name = !matches!(name.to_bytes(), b"" | b"." | b"..");
    is_name.then_some((&bytes[..slash], name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_last_name_is_what_is_looked_up() {
        for (path, expected) in [
            (c"a/b", Some((&b"a"[..], c"b"))),
            (c"a/../b/c", Some((&b"a/../b"[..], c"c"))),
            (c"a//b", Some((&b"a/"[..], c"b"))),
            (c"/a/b", Some((&b"/a"[..], c"b"))),
            (c"/b", None),
            (c"b", None),
            (c"", None),
            (c"a/b/", None),
            (c"a/.", None),
            (c"a/..", None),
        ] {
            assert_eq!(split(path), expected, "{path:?}");
        }
    }

    #[test]
    fn a_directory_is_opened_once_and_few_are_kept() {
        let opened = Cell::new(0);
        let open = || {
            opened.set(opened.get() + 1);
            Ok(std::fs::File::open("/").expect("it is there").into())
        };
        let mut ways = Ways::default();
        let first = ways.reach(1, b"a", open);
        assert_eq!((ways.reach(1, b"a", open), opened.get()), (first, 1));
        ways.reach(2, b"a", open).and(ways.reach(1, b"b", open)).expect("both are opened");
        assert_eq!(opened.get(), 3);
        (0..70).try_for_each(|handle| ways.reach(handle, b"c", open).map(|_| ())).expect("all are opened");
        assert_eq!((ways.kept.len(), opened.get()), (KEPT, 73));
        assert_eq!(ways.reach(1, b"d", || Err(7)), Err(7));
        ways.forget_from(69);
        assert_eq!((ways.kept.len(), ways.reach(68, b"c", open).is_ok(), opened.get()), (KEPT - 1, true, 73));
        ways.forget();
        assert!(ways.kept.is_empty());
    }

    #[test]
    fn what_can_be_opened_is_known_for_a_moment_and_until_a_path_may_lead_elsewhere() {
        let mut ways = Ways::default();
        let known =
            |ways: &Ways| [(1, c"a"), (2, c"a"), (1, c"b")].map(|(handle, path)| ways.is_openable(handle, path));
        assert_eq!(known(&ways), [false; 3]);
        ways.note_openable(1, c"a");
        assert_eq!(known(&ways), [true, false, false]);
        ways.note_openable(1, c"b");
        assert_eq!(known(&ways), [false, false, true]);
        ways.forget_from(2);
        assert_eq!(known(&ways), [false, false, true]);
        ways.forget_from(1);
        assert_eq!(known(&ways), [false; 3]);
        ways.note_openable(2, c"a");
        ways.forget();
        assert_eq!(known(&ways), [false; 3]);
        ways.note_openable(2, c"a");
        ways.openable.iter_mut().for_each(|(.., until_ns)| *until_ns = monotonic_ns());
        assert_eq!(known(&ways), [false; 3]);
    }

    #[test]
    fn a_directory_is_walked_to_anew_after_a_moment() {
        let open = || Ok(std::fs::File::open("/").expect("it is there").into());
        let mut ways = Ways::default();
        ways.reach(1, b"a", open).expect("it is opened");
        ways.kept[0].until_ns = monotonic_ns();
        assert_eq!(ways.reach(1, b"a", || Err(7)), Err(7));
    }
}
