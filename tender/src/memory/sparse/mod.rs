//! The host's side of the sparse region: where its pages are, and which of them the guest has. See [`husk_abi::memory`].
//!
//! Most programs never use the region: until then, it takes no memory, and no system call of the host.

#![expect(unsafe_code, reason = "a mapping is reached by address")]

pub mod populated;

use crate::memory::claim::Claim;
use crate::memory::host::{protect, reserve_aligned};
use crate::memory::layout::{Addresses, Layout};
use husk_abi::memory::{PAGE, Region, Rights};
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The host's side of the sparse region of a guest.
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
    /// Bytes of `base` that are a mapping of its own.
    owned: u64,
    /// A bit for each page, set if the guest has the page.
    mapped: Vec<AtomicU64>,
    /// Bits for each page, set if the guest may not read, and may not write the page; only without page tables.
    denied: [Vec<AtomicU64>; 2],
}

impl Sparse {
    /// Creates the sparse region of a guest with this layout.
    pub fn new(layout: &Layout) -> Self {
        Self {
            region: layout.sparse,
            tables: layout.sparse_tables(),
            addresses: layout.addresses,
            backing: OnceLock::new(),
        }
    }

    /// Guest addresses of the region.
    pub fn region(&self) -> Region {
        self.region
    }

    fn backing(&self) -> Option<&Backing> {
        let make = || {
            let size = self.region.length + self.tables.length;
            let base = match self.addresses {
                Addresses::Translated => reserve_aligned(size).ok()?,
                // The region is reserved with the rest of the guest's memory.
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

    /// Host address of the first byte of the region; `None` if the host has no room for it.
    pub fn host_address(&self) -> Option<u64> {
        self.backing().map(|backing| backing.base.as_ptr() as u64)
    }

    /// Host pointer to a claim inside the region, valid for its length.
    pub fn find(&self, claim: Claim) -> Option<NonNull<u8>> {
        let end = claim.address.checked_add(claim.length)?;
        // A native guest has no sparse region, so that not even a claim of no bytes lies in it.
        if self.region.length == 0 || claim.address < self.region.start || end > self.region.end() {
            return None;
        }
        let offset = claim.address - self.region.start;
        // SAFETY: the claim lies in the region, all of which the mapping contains.
        self.backing().map(|backing| unsafe { backing.base.add(offset as usize) })
    }

    /// Host pointer to a page table, by its guest-physical address, valid to the end of its page.
    pub fn table(&self, physical: u64) -> Option<NonNull<u8>> {
        let offset = self.region.length + physical.checked_sub(self.tables.start)?;
        let backing = self.backing().filter(|backing| offset < backing.owned)?;
        // SAFETY: `offset` is less than `owned`, the size of the mapping.
        Some(unsafe { backing.base.add(offset as usize) })
    }

    /// Returns true if the guest has every page that a claim inside the region touches.
    pub fn is_mapped(&self, claim: Claim) -> bool {
        let Some(last) = claim.address.checked_add(claim.length.saturating_sub(1)) else { return false };
        (claim.address / PAGE..=last / PAGE).all(|page| self.has(page * PAGE))
    }

    /// Returns true if the guest has the page at this address.
    pub fn has(&self, address: u64) -> bool {
        self.mapped(address).is_some_and(|bit| bit.get())
    }

    /// Records that the guest has, or has not, the page at this address.
    pub fn note(&self, address: u64, has: bool) {
        if let Some(bit) = self.mapped(address) {
            bit.set(has);
        }
    }

    /// Rights of a guest in this process to the page at this address, once it has the page.
    pub fn rights(&self, address: u64) -> Rights {
        let allows = |index| !self.denied(index, address).is_some_and(|bit| bit.get());
        let mut rights = Rights::empty();
        rights.set(Rights::READ, allows(0));
        rights.set(Rights::WRITE, allows(1));
        rights
    }

    /// Changes these rights for the pages of a claim inside the region, mapped or not.
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

    /// Makes those of these pages accessible that a guest in this process does not have, with the guest's rights.
    pub fn open(&self, pages: Region) -> io::Result<()> {
        let runs = self.runs(pages, |address| (self.has(address), self.rights(address)));
        runs.filter(|(_, (has, _))| !has).try_for_each(|(pages, (_, rights))| protect(pages, rights))
    }

    /// Runs of pages for which `what` returns the same value.
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

/// A bit of a bitmap.
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
            // SAFETY: `backing` made the mapping, and no pointer into it outlives `self`.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.owned as usize) };
        }
    }
}
