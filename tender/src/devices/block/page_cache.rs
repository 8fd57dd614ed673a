//! A disk as read-only mapping of the host's page cache. Data that was read a moment ago is still cached, and is copied without
//! a system call.
//!
//! Touching an evicted page blocks on a page fault. So a page is assumed resident for about a second after a read of it by
//! RWF_NOWAIT has succeeded. Pages in use all the time are evicted only under lasting memory pressure; then a copy blocks once
//! in a while.
//!
//! A page that cannot be read, because the file was truncated or the host's disk fails, is left to a system call, which returns
//! the error.

#![expect(unsafe_code, reason = "the page cache is mapped, and copied by address")]

use crate::devices::copy;
use crate::devices::ring::Part;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null_mut};

const PAGE: u64 = 4096;
/// Most pages remembered; of more, those read last.
const PAGES: usize = 1 << 16;
/// Binary logarithm of the nanoseconds in a moment: about one second.
const MOMENT: u32 = 30;
/// Longest read, in bytes; for a longer one, the cost of a system call does not matter.
const LENGTH_MAXIMUM: usize = 64 << 10;

/// Mapping of a disk's file.
#[derive(Debug)]
pub struct PageCacheMap {
    start: NonNull<u8>,
    length: u64,
    /// Resident pages and the moment of their last read: indexed by page number modulo `PAGES`. Entries never used take no
    /// memory.
    resident: Vec<u64>,
    moment: u16,
}

// SAFETY: the mapping stays until the map is dropped, and is only copied from.
unsafe impl Send for PageCacheMap {}

impl PageCacheMap {
    /// Maps the first `length` bytes of `file`, if the host can.
    pub fn new(file: &File, length: u64) -> Option<Self> {
        let size = usize::try_from(length).ok()?;
        let descriptor = file.as_raw_fd();
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { libc::mmap(null_mut(), size, libc::PROT_READ, libc::MAP_SHARED, descriptor, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        copy::prepare();
        Some(Self { start: NonNull::new(start.cast())?, length, resident: vec![0; PAGES], moment: 0 })
    }

    /// Sets the time, in nanoseconds.
    pub fn set_time(&mut self, now_ns: u64) {
        // Never 0, which stands for pages that were never read.
        self.moment = (now_ns >> MOMENT) as u16 | 1 << 15;
    }

    /// Reads from byte `offset` on, if all pages are assumed resident. Returns true if all of `into` was read.
    pub fn read(&self, into: Part, offset: u64) -> bool {
        let inside = offset.checked_add(into.length as u64).is_some_and(|end| end <= self.length);
        if !inside || into.length > LENGTH_MAXIMUM || !pages(offset, into.length).all(|page| self.is_resident(page)) {
            return false;
        }
        let from = self.start.as_ptr().wrapping_add(offset as usize);
        // SAFETY: the range lies in the mapping, and `copy::prepare` handles faults; `ring::check` checked the guest's memory.
        unsafe { copy::one(from, into) }.is_ok()
    }

    /// Notes that the host has read these bytes without waiting.
    pub fn note(&mut self, offset: u64, length: usize) {
        if length > LENGTH_MAXIMUM {
            return;
        }
        for page in pages(offset, length) {
            let entry = self.entry(page);
            self.resident[page as usize % PAGES] = entry;
        }
    }

    fn is_resident(&self, page: u64) -> bool {
        self.resident[page as usize % PAGES] == self.entry(page)
    }

    fn entry(&self, page: u64) -> u64 {
        page << u16::BITS | u64::from(self.moment)
    }
}

/// Numbers of the pages that hold these bytes.
fn pages(offset: u64, length: usize) -> std::ops::Range<u64> {
    offset / PAGE..(offset + length as u64).div_ceil(PAGE)
}

impl Drop for PageCacheMap {
    fn drop(&mut self) {
        // SAFETY: `new` made the mapping, with this length, and the map was its only user.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length as usize) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn only_what_was_there_a_moment_ago_is_read() {
        let path = std::env::temp_dir().join(format!("husk-map-{}", std::process::id()));
        std::fs::write(&path, [[1; 4096], [2; 4096], [3; 4096]].concat()).expect("a file");
        let file = File::options().read(true).write(true).open(&path).expect("the file");
        std::fs::remove_file(&path).expect("it is there");
        let mut map = PageCacheMap::new(&file, 3 * PAGE).expect("it can be mapped");
        let mut bytes = [0; 4096];
        let start: NonNull<u8> = NonNull::from(&mut bytes).cast();
        let whole = Part { start, length: 4096 };
        map.set_time(SECOND_NS);
        assert!(!map.read(whole, 0), "nobody has read it");
        map.note(0, 4096);
        map.note(PAGE, 1);
        assert!(map.read(whole, PAGE / 2));
        // SAFETY: `at` is an index into `bytes`, which lives until the end of the test.
        let byte = |at: usize| unsafe { start.as_ptr().wrapping_add(at).read_volatile() };
        assert_eq!((byte(0), byte(4095)), (1, 2));
        assert!(!map.read(whole, PAGE + 1) && !map.read(whole, 3 * PAGE) && !map.read(whole, u64::MAX));
        map.set_time(4 * SECOND_NS);
        assert!(!map.read(whole, 0), "it may be gone");
        map.note(2 * PAGE, 4096);
        assert!(map.read(whole, 2 * PAGE));
        file.set_len(PAGE).expect("it can be shorter");
        assert!(!map.read(whole, 2 * PAGE), "it is not there any more");
    }
}
