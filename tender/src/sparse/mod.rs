//! The host's side of the sparse region: where its pages are, and which of them the guest has. See [`husk_abi::memory`].
//!
//! Most programs never use the region: it takes no memory, and no call of the host's, before they do.

#![expect(unsafe_code, reason = "a mapping is reached by address")]

pub mod given;

use crate::layout::{Addresses, Layout};
use crate::memory::claim::Claim;
use crate::memory::host::{protect, reserve_aligned};
use husk_abi::memory::{PAGE, Region, Rights};
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the file's head.
#[derive(Debug)]
pub struct Sparse {
    region: Region,
    /// Guest-physical addresses of the page tables, which follow those of the region.
    tables: Region,
    addresses: Addresses,
    backing: OnceLock<Option<Backing>>,
}

#[derive(Debug)]
struct Backing {
    /// The region's pages, and behind them the page tables.
    base: NonNull<u8>,
    /// How many bytes of it are a mapping of its own.
    owned: u64,
    /// A bit for each page that the guest has.
    mapped: Vec<AtomicU64>,
    /// Bits for each page that the guest may not read, and may not write, where page tables do not lead to it.
    denied: [Vec<AtomicU64>; 2],
}

impl Sparse {
    /// For a guest with this layout.
    pub fn new(layout: &Layout) -> Self {
        Self {
            region: layout.sparse,
            tables: layout.sparse_tables(),
            addresses: layout.addresses,
            backing: OnceLock::new(),
        }
    }

    /// Where it is in the guest's address space.
    pub fn region(&self) -> Region {
        self.region
    }

    fn backing(&self) -> Option<&Backing> {
        let make = || {
            let size = self.region.length + self.tables.length;
            let base = match self.addresses {
                Addresses::Translated => reserve_aligned(size).ok()?,
                // It is reserved with everything else.
                Addresses::Direct => NonNull::new(self.region.start as *mut u8)?,
            };
            let words = (self.region.length / PAGE).div_ceil(64);
            let owned = if self.addresses == Addresses::Direct { 0 } else { size };
            let pages = || (0..words).map(|_| AtomicU64::new(0)).collect();
            let denied = match self.addresses {
                Addresses::Translated => Default::default(),
                Addresses::Direct => [pages(), pages()],
            };
            Some(Backing { base, owned, mapped: pages(), denied })
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
        // A native guest has no such region, and not even no bytes of it.
        if self.region.length == 0 || claim.address < self.region.start || end > self.region.end() {
            return None;
        }
        let offset = claim.address - self.region.start;
        // SAFETY: the claim lies in the region, all of which the mapping has.
        self.backing().map(|backing| unsafe { backing.base.add(offset as usize) })
    }

    /// A host pointer to a page table, by its guest-physical address, good to the end of its page.
    pub fn table(&self, physical: u64) -> Option<NonNull<u8>> {
        let offset = self.region.length + physical.checked_sub(self.tables.start)?;
        let backing = self.backing().filter(|backing| offset < backing.owned)?;
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
        self.mapped(address).is_some_and(|bit| bit.get())
    }

    /// Notes whether the guest has the page at this address.
    pub fn note(&self, address: u64, has: bool) {
        if let Some(bit) = self.mapped(address) {
            bit.set(has);
        }
    }

    /// What a guest in this process may do with the page at this address, when it has it.
    pub fn rights(&self, address: u64) -> Rights {
        let allows = |index| !self.denied(index, address).is_some_and(|bit| bit.get());
        let mut rights = Rights::empty();
        rights.set(Rights::READ, allows(0));
        rights.set(Rights::WRITE, allows(1));
        rights
    }

    /// Changes that for the pages of a claim inside the region, whether it has them or not.
    pub fn protect(&self, claim: Claim, rights: Rights) -> io::Result<()> {
        self.backing().ok_or(io::ErrorKind::OutOfMemory)?;
        let pages = Region { start: claim.address, length: claim.length };
        for address in (pages.start..pages.end()).step_by(PAGE as usize) {
            for (index, right) in [Rights::READ, Rights::WRITE].into_iter().enumerate() {
                if let Some(bit) = self.denied(index, address) {
                    bit.set(!rights.contains(right));
                }
            }
        }
        self.runs(pages, |address| (self.has(address), Rights::empty()))
            .filter(|(_, (has, _))| *has)
            .try_for_each(|(pages, _)| protect(pages, rights))
    }

    /// Makes those of these pages accessible that a guest in this process does not have, as far as it may use them.
    pub fn open(&self, pages: Region) -> io::Result<()> {
        let runs = self.runs(pages, |address| (self.has(address), self.rights(address)));
        runs.filter(|(_, (has, _))| !has).try_for_each(|(pages, (_, rights))| protect(pages, rights))
    }

    /// The runs of pages of which `what` says the same.
    fn runs<T: PartialEq>(&self, pages: Region, what: impl Fn(u64) -> T) -> impl Iterator<Item = (Region, T)> {
        let mut next = pages.start;
        std::iter::from_fn(move || {
            let start = (next < pages.end()).then_some(next)?;
            let same = what(start);
            next += PAGE;
            while next < pages.end() && what(next) == same {
                next += PAGE;
            }
            Some((Region::between(start, next), same))
        })
    }

    fn mapped(&self, address: u64) -> Option<Bit<'_>> {
        self.bit(&self.backing.get()?.as_ref()?.mapped, address)
    }

    fn denied(&self, index: usize, address: u64) -> Option<Bit<'_>> {
        self.bit(self.backing.get()?.as_ref()?.denied.get(index)?, address)
    }

    fn bit<'a>(&self, words: &'a [AtomicU64], address: u64) -> Option<Bit<'a>> {
        let page = address.checked_sub(self.region.start)? / PAGE;
        words.get((page / 64) as usize).map(|word| Bit { word, mask: 1 << (page % 64) })
    }
}

/// One bit of many.
struct Bit<'a> {
    word: &'a AtomicU64,
    mask: u64,
}

impl Bit<'_> {
    fn get(&self) -> bool {
        self.word.load(Relaxed) & self.mask != 0
    }

    fn set(&self, value: bool) {
        match value {
            true => self.word.fetch_or(self.mask, Relaxed),
            false => self.word.fetch_and(!self.mask, Relaxed),
        };
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        if self.owned > 0 {
            // SAFETY: the mapping is ours, and every pointer into it lived shorter than `self`.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.owned as usize) };
        }
    }
}
