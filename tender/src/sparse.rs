//! The host's side of the sparse region: where its pages are, and which of them the guest has. See [`husk_abi::memory`].
//!
//! Most programs never use the region: it takes no memory, and no call of the host's, before they do.

#![expect(unsafe_code, reason = "a mapping is reached by address")]

use crate::layout::Layout;
use crate::memory::{Claim, reserve};
use husk_abi::memory::{PAGE, Region};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the file's head.
#[derive(Debug)]
pub struct Sparse {
    region: Region,
    /// Guest-physical addresses of the page tables, which follow those of the region.
    tables: Region,
    backing: OnceLock<Option<Backing>>,
}

#[derive(Debug)]
struct Backing {
    /// The region's pages, and behind them the page tables.
    base: NonNull<u8>,
    size: u64,
    /// A bit for each page that the guest has.
    mapped: Vec<AtomicU64>,
}

impl Sparse {
    /// For a guest with this layout.
    pub fn new(layout: &Layout) -> Self {
        Self { region: layout.sparse, tables: layout.sparse_tables(), backing: OnceLock::new() }
    }

    /// Where it is in the guest's address space.
    pub fn region(&self) -> Region {
        self.region
    }

    fn backing(&self) -> Option<&Backing> {
        let size = self.region.length + self.tables.length;
        let make = || {
            let base = reserve(size).ok()?;
            let words = (self.region.length / PAGE).div_ceil(64);
            Some(Backing { base, size, mapped: (0..words).map(|_| AtomicU64::new(0)).collect() })
        };
        self.backing.get_or_init(make).as_ref()
    }

    /// Where the host has the first byte of the region; nothing if it has no room.
    pub fn host_address(&self) -> Option<u64> {
        self.backing().map(|backing| backing.base.as_ptr() as u64)
    }

    /// A host pointer to a claim inside the region, good for its length.
    pub fn find(&self, claim: Claim) -> Option<NonNull<u8>> {
        let end = claim.address.checked_add(claim.length)?;
        if claim.address < self.region.start || end > self.region.end() {
            return None;
        }
        let offset = claim.address - self.region.start;
        // SAFETY: the claim lies in the region, all of which the mapping has.
        self.backing().map(|backing| unsafe { backing.base.add(offset as usize) })
    }

    /// A host pointer to a page table, by its guest-physical address, good to the end of its page.
    pub fn table(&self, physical: u64) -> Option<NonNull<u8>> {
        let offset = self.region.length + physical.checked_sub(self.tables.start)?;
        let backing = self.backing().filter(|backing| offset < backing.size)?;
        // SAFETY: checked to be inside the mapping.
        Some(unsafe { backing.base.add(offset as usize) })
    }

    /// Whether the guest has every page that a claim inside the region touches.
    pub fn is_mapped(&self, claim: Claim) -> bool {
        let Some(last) = claim.address.checked_add(claim.length.saturating_sub(1)) else { return false };
        (claim.address / PAGE..=last / PAGE).all(|page| self.has(page * PAGE))
    }

    /// Whether the guest has the page at this address.
    pub fn has(&self, address: u64) -> bool {
        self.word(address).is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
    }

    /// Notes whether the guest has the page at this address.
    pub fn note(&self, address: u64, has: bool) {
        match self.word(address) {
            Some((word, bit)) if has => _ = word.fetch_or(bit, Relaxed),
            Some((word, bit)) => _ = word.fetch_and(!bit, Relaxed),
            None => {}
        }
    }

    fn word(&self, address: u64) -> Option<(&AtomicU64, u64)> {
        let page = address.checked_sub(self.region.start)? / PAGE;
        let word = self.backing.get()?.as_ref()?.mapped.get((page / 64) as usize)?;
        Some((word, 1 << (page % 64)))
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every pointer into it lived shorter than `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size as usize) };
    }
}
