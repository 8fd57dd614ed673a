//! Contents of a regular file that has been mapped with MAP_SHARED.
//!
//! One page serves the file and all its mappings: a mapped page of the file moves, for good, from the heap of the libos to a
//! window of the file ([`crate::memory::window`]), where offset `o` of the file is address `start + o`. read(2), write(2) and
//! all other calls work on that memory, so nothing is ever copied back, and msync(2) and fsync(2) have nothing to write. The
//! window is the file's until the inode is gone; mappings only count ([`super::mapping`]).
//!
//! Two mappings of a page therefore have one address. POSIX leaves the address to the kernel, so this needs neither page tables
//! of the guest's nor another mapping on the host, and is the same in a virtual machine and in a process. What it costs: a page
//! has one set of rights, the union of what its mappings ask for; a file cannot be mapped at an address of the program's choice
//! (EINVAL, as where processors' caches forbid it); and a file that outgrows its window while it is mapped cannot be mapped
//! further (ENOMEM). So a window gets addresses for eight times what the file holds; a page of it takes memory when touched.
//!
//! The libos writes to a window with the program's rights. The first write(2) to a file whose mappings are for reading opens the
//! window for good: from then on, a store through such a mapping reaches the file instead of ending the program.

use super::quota::Quota;
use super::source::Source;
use super::steps::Steps;
use crate::errno::Errno;
use crate::memory::window::{Bytes, Window};
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::memory::{PAGE, Rights};

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

/// Window of a file.
#[derive(Debug)]
pub struct Shared {
    pub(super) window: Window,
    /// 1 for the pages whose contents are in the window.
    pub(super) held: Steps,
    /// A bit for each page in the window that counts as memory of files. A page that only the program has touched does not.
    pub(super) charged: Vec<u64>,
    /// True if a descriptor for writing was mapped, so that mprotect(2) may allow stores.
    pub may_store: bool,
    /// True if a mapping has allowed stores, which nothing else would notice.
    pub stored: bool,
    /// True if a call has written to the window: then rights are not narrowed to reading any more.
    written: bool,
}

impl Shared {
    /// Returns the window of a file none of whose pages are there yet.
    pub fn new(window: Window) -> Self {
        Self { window, held: Steps::default(), charged: Vec::new(), may_store: false, stored: false, written: false }
    }

    /// Returns true if the contents of this page are in the window.
    pub fn holds(&self, page: u64) -> bool {
        self.held.run(page).0 > 0
    }

    /// The part of the window that shows the file from `offset` on, up to `size`; or else the offset up to which there is none.
    pub fn at(&self, offset: u64, size: u64) -> Result<Bytes, u64> {
        let (held, end) = self.held.run(offset / PAGE);
        let end = end.saturating_mul(PAGE).min(size);
        if held > 0 { Ok(self.window.part(offset, end - offset, Rights::READ)) } else { Err(end) }
    }

    /// Counts a page in the window as memory; returns the number of pages that were not counted before.
    pub fn charge(&mut self, quota: &mut Quota, page: u64) -> Result<u64, Errno> {
        let (word, bit) = ((page / 64) as usize, 1 << (page % 64));
        if self.charged.get(word).is_some_and(|word| word & bit != 0) {
            return Ok(0);
        }
        self.reserve_bits(page + 1)?;
        quota.take(PAGE)?;
        if self.window.charge(1).is_err() {
            quota.give(PAGE);
            return Err(Errno::ENOSPC);
        }
        self.set_charged(page);
        Ok(1)
    }

    /// Makes room for [`Shared::set_charged`] of pages below `pages`.
    pub fn reserve_bits(&mut self, pages: u64) -> Result<(), Errno> {
        let words = pages.div_ceil(64) as usize;
        if words > self.charged.len() {
            self.charged.try_reserve(words - self.charged.len()).map_err(|_| Errno::ENOSPC)?;
            self.charged.resize(words, 0);
        }
        Ok(())
    }

    /// Notes that a page counts as memory.
    pub fn set_charged(&mut self, page: u64) {
        if let Some(word) = self.charged.get_mut((page / 64) as usize) {
            *word |= 1 << (page % 64);
        }
    }

    /// Writes all of `from` to the window, inside one page.
    pub fn write(&mut self, offset: u64, from: Source<'_>) -> Result<(), Errno> {
        self.written = true;
        let to = self.window.part(offset, from.length(), READ_WRITE);
        match from {
            Source::Program(slice) => to.copy_from(slice)?,
            Source::Own(bytes) => to.fill(bytes),
        }
        Ok(())
    }

    /// Writes all of `from` to the window.
    pub fn store(&mut self, offset: u64, from: &[u8]) {
        self.written = true;
        self.window.part(offset, from.len() as u64, READ_WRITE).fill(from);
    }

    /// Zeroes the bytes from `start` to `end`, as far as they are in the window.
    pub fn zero(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let write = |from: u64, to: u64| self.window.part(from, to - from, READ_WRITE).zero();
        for (run, _) in self.held.runs(start / PAGE..end.div_ceil(PAGE)).filter(|(_, held)| *held > 0) {
            let (from, to) = (start.max(run.start * PAGE), end.min(run.end.saturating_mul(PAGE)));
            let (first, last) = (from.next_multiple_of(PAGE), to - to % PAGE);
            if first >= last {
                write(from, to);
                continue;
            }
            write(from, first);
            if self.window.clear(first, last - first).is_err() {
                write(first, last);
            }
            write(last, to);
        }
    }

    /// Zeroes the bytes from `start` to `end`, and returns the number of whole pages among them that no longer count as memory.
    pub fn discard(&mut self, start: u64, end: u64, size: u64) -> u64 {
        self.zero(start, end.min(size));
        let pages = start.div_ceil(PAGE)..(end / PAGE).min(self.charged.len() as u64 * 64);
        let mut freed = 0;
        for page in pages {
            if let Some(word) = self.charged.get_mut((page / 64) as usize) {
                freed += *word >> (page % 64) & 1;
                *word &= !(1 << (page % 64));
            }
        }
        freed
    }

    /// Gives a mapping of these pages its rights; with `others`, some of them have other mappings, whose rights they keep.
    pub fn grant(&mut self, pages: Range<u64>, rights: Rights, others: bool) -> Result<(), Errno> {
        let least = self.window.least();
        self.stored |= rights.contains(Rights::WRITE);
        let rights = match others {
            true if rights.contains(Rights::WRITE) || least.is_empty() => READ_WRITE,
            true => return Ok(()),
            false if rights == Rights::READ && self.written => READ_WRITE,
            false => rights,
        };
        if rights == READ_WRITE && least == READ_WRITE {
            return Ok(());
        }
        self.window.protect(pages.start * PAGE, (pages.end - pages.start) * PAGE, rights)
    }
}
