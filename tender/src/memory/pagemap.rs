//! Zeroes the few pages of a long range that are in use, so that the guest keeps them, because each page that is
//! taken away costs a page fault at the next touch.
//!
//! `/proc/self/pagemap` (proc_pid_pagemap(5)) lists the pages in use. A system call writes them, because they may be protected;
//! if any of this fails, the caller discards the range instead.

#![expect(unsafe_code, reason = "guest memory is written by system call")]

use crate::confine::privileges::without_capabilities;
use crate::confine::{Descriptors, Role};
use husk_abi::memory::PAGE;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Longest range that is searched, in pages: the entries take as many words.
const PAGES_MAXIMUM: u64 = 1 << 16;
/// Most runs of pages that are written.
const RUNS_MAXIMUM: usize = 256;
/// Longest run that is written, in pages.
const RUN_MAXIMUM: u64 = 16;
/// Bits of a pagemap entry: the page is in memory, or in swap.
const HOLDS_SOMETHING: u64 = 1 << 63 | 1 << 62;

/// Source of the zeros.
static ZEROS: [u8; (RUN_MAXIMUM * PAGE) as usize] = [0; (RUN_MAXIMUM * PAGE) as usize];

/// The open pagemap, if the host allows it.
#[derive(Debug, Default)]
pub struct Resident(Option<File>);

impl Resident {
    /// Opens pagemap without capabilities, so that it reports no page frame numbers, not even to root.
    pub fn open() -> Self {
        Self(without_capabilities(|| File::open("/proc/self/pagemap")).ok())
    }

    /// Notes the file, if there is one.
    pub fn list(&self, descriptors: &mut Descriptors) {
        self.0.iter().for_each(|file| descriptors.add(Role::Pages, file));
    }

    /// Makes `length` bytes of our own memory at `address` zero, in whole pages, if at most `kept` of these are in use.
    /// Otherwise, and if a step fails, returns false, and the contents of the pages are unknown.
    pub fn clear(&self, address: u64, length: u64, kept: u64) -> bool {
        let entries = self.entries(address, length);
        entries.and_then(|entries| runs(&entries, kept)).is_some_and(|runs| write(address, &runs))
    }

    /// A bit for each page of `length` bytes of our own memory at `address` that is in use; `None` if the host does not say.
    pub fn bits(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let entries = self.entries(address, length)?;
        let mut bits = vec![0; (length / PAGE).div_ceil(8) as usize];
        for (entry, page) in entries.chunks_exact(size_of::<u64>()).zip(0..) {
            if u64::from_ne_bytes(entry.try_into().ok()?) & HOLDS_SOMETHING != 0 {
                *bits.get_mut(page / 8)? |= 1 << (page % 8);
            }
        }
        Some(bits)
    }

    /// Entries of pagemap for the pages of `length` bytes at `address`.
    fn entries(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let count = length / PAGE;
        let map = self.0.as_ref().filter(|_| count <= PAGES_MAXIMUM)?;
        let mut entries = vec![0; count as usize * size_of::<u64>()];
        map.read_exact_at(&mut entries, address / PAGE * size_of::<u64>() as u64).ok()?;
        Some(entries)
    }
}

/// Runs of pages in use, by number; `None` if there are too many pages or runs.
fn runs(entries: &[u8], kept: u64) -> Option<Vec<Range<u64>>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut left = kept;
    for (entry, page) in entries.chunks_exact(size_of::<u64>()).zip(0..) {
        if u64::from_ne_bytes(entry.try_into().ok()?) & HOLDS_SOMETHING == 0 {
            continue;
        }
        left = left.checked_sub(1)?;
        let room = runs.len() < RUNS_MAXIMUM;
        match runs.last_mut().filter(|run| run.end == page && run.end - run.start < RUN_MAXIMUM) {
            Some(run) => run.end += 1,
            None if !room => return None,
            None => runs.push(page..page + 1),
        }
    }
    Some(runs)
}

/// Writes zeros to these pages of our own memory.
fn write(address: u64, runs: &[Range<u64>]) -> bool {
    let length = |run: &Range<u64>| ((run.end - run.start) * PAGE) as usize;
    let start = |run: &Range<u64>| (address + run.start * PAGE) as *mut libc::c_void;
    let zeros = ZEROS.as_ptr().cast_mut().cast();
    let from: Vec<_> = runs.iter().map(|run| libc::iovec { iov_base: zeros, iov_len: length(run) }).collect();
    let to: Vec<_> = runs.iter().map(|run| libc::iovec { iov_base: start(run), iov_len: length(run) }).collect();
    let own_process = std::process::id() as libc::pid_t;
    let count = runs.len() as libc::c_ulong;
    // SAFETY: each local vector lies within `ZEROS`, because no run is longer than RUN_MAXIMUM; the remote ones are guest
    // memory that the caller has checked, which may have any contents; for a protected page the call returns an error.
    let written = unsafe { libc::process_vm_writev(own_process, from.as_ptr(), count, to.as_ptr(), count, 0) };
    written == runs.iter().map(length).sum::<usize>() as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pages: &[u64]) -> Vec<u8> {
        pages.iter().flat_map(|page| (page << 62).to_ne_bytes()).collect()
    }

    #[test]
    fn pages_that_hold_something_make_runs() {
        let entries = entries(&[0, 2, 1, 0, 0, 3, 0]);
        assert_eq!(runs(&entries, 3), Some(vec![1..3, 5..6]));
        assert_eq!(runs(&entries, 2), None);
        assert_eq!(runs(&[], 0), Some(vec![]));
    }

    #[test]
    fn our_own_memory_is_cleared_and_what_is_protected_is_not() {
        let length = 8 * PAGE as usize;
        let map = |protection| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new mapping at an address of the kernel's choice.
            let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
            assert_ne!(start, libc::MAP_FAILED);
            start.cast::<u8>()
        };
        let start = map(libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: the sixth page lies inside the mapping.
        let last = unsafe { start.add(5 * PAGE as usize) };
        // SAFETY: `last` lies inside the mapping, which is writable.
        unsafe { last.write_volatile(7) };
        let resident = Resident::open();
        assert_eq!(resident.bits(start as u64, length as u64), Some(vec![1 << 5]));
        assert!(resident.clear(start as u64, length as u64, 4));
        // SAFETY: `last` lies inside the mapping, which is readable.
        assert_eq!(unsafe { last.read_volatile() }, 0);
        // SAFETY: `last` lies inside the mapping, which is writable.
        unsafe { last.write_volatile(7) };
        // SAFETY: the mapping is ours.
        unsafe { libc::mprotect(start.cast(), length, libc::PROT_NONE) };
        assert!(!resident.clear(start as u64, length as u64, 4));
    }
}
