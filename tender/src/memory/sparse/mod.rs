//! The host's side of the sparse region: where its pages are, which of them the guest has, and its rights to them. See
//! [`husk_abi::memory`].
//!
//! Addresses cost nothing before they are touched. Most programs never use the region: until then, it takes no memory, and no
//! system call of the host. Rights are noted for all pages, and applied to those that the guest has: in the host's mapping of
//! a virtual machine, other pages are readable and writable; in this process, they are not mapped at all.

#![expect(unsafe_code, reason = "a mapping is reached by address")]

mod pages;
pub mod populated;
mod rights;

pub use pages::PIECE;

use crate::memory::claim::Claim;
use crate::memory::host::{map_at, protect, reserve_aligned, unmap};
use crate::memory::layout::{Addresses, Layout};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region, Rights};
use pages::Pages;
use rights::{Intervals, USUAL};
use std::io;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Addresses of the host left to the tender where their number is limited, in bytes.
const LEFT: u64 = 256 << 20;

/// The host's side of the sparse region of a guest.
#[derive(Debug)]
pub struct Sparse {
    region: Region,
    /// Guest-physical addresses of the page tables, which follow those of guest RAM.
    tables: Region,
    addresses: Addresses,
    backing: OnceLock<Option<Backing>>,
    state: Mutex<State>,
}

/// Pages that the guest has, and rights to all.
#[derive(Debug, Default)]
struct State {
    pages: Pages,
    rights: Intervals,
}

#[derive(Debug)]
struct Backing {
    /// Pages of the first `length` bytes of the region, and behind them the page tables.
    base: NonNull<u8>,
    length: u64,
    /// Bytes of `base` that are a mapping of its own.
    owned: u64,
}

impl Sparse {
    /// Creates the sparse region of a guest with this layout.
    pub fn new(layout: &Layout) -> Self {
        Self {
            region: layout.sparse,
            tables: layout.sparse_tables(),
            addresses: layout.addresses,
            backing: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// Guest addresses of the region.
    pub fn region(&self) -> Region {
        self.region
    }

    fn backing(&self) -> Option<&Backing> {
        let make = || match self.addresses {
            Addresses::Translated => self.reserve(),
            // Pages are mapped where the guest has them.
            Addresses::Direct => {
                let base = NonNull::new(self.region.start as *mut u8)?;
                Some(Backing { base, length: self.region.length, owned: 0 })
            }
        };
        self.backing.get_or_init(make).as_ref()
    }

    /// Reserves the host's addresses for the region: all, or if the host limits them (`ulimit -v`), as many as it has.
    fn reserve(&self) -> Option<Backing> {
        let lengths = std::iter::successors(Some(self.region.length), |length| Some((length / 2) & !(LARGE_PAGE - 1)));
        let mut lengths = lengths.take_while(|length| *length >= PIECE);
        lengths.find_map(|length| {
            let owned = length + self.tables.length;
            let base = reserve_aligned(owned + LEFT).ok()?;
            unmap(Region { start: base.as_ptr() as u64 + owned, length: LEFT }).ok()?;
            Some(Backing { base, length, owned })
        })
    }

    /// Host address of the first byte of the region; `None` if the host has no room for it.
    pub fn host_address(&self) -> Option<u64> {
        self.backing().map(|backing| backing.base.as_ptr() as u64)
    }

    /// Host address of the first page table.
    pub fn host_tables(&self) -> Option<u64> {
        self.backing().map(|backing| backing.base.as_ptr() as u64 + backing.length)
    }

    /// Part of the region that the host has addresses for; empty if there is none.
    pub fn usable(&self) -> Region {
        Region { length: self.backing().map_or(0, |backing| backing.length), ..self.region }
    }

    /// Host pointer to a claim inside the region, valid for its length where the guest has the pages.
    pub fn find(&self, claim: Claim) -> Option<NonNull<u8>> {
        let end = claim.address.checked_add(claim.length)?;
        // A native guest has no sparse region, so that not even a claim of no bytes lies in it.
        if self.region.length == 0 || claim.address < self.region.start || end > self.region.end() {
            return None;
        }
        let backing = self.backing().filter(|backing| end - self.region.start <= backing.length)?;
        let offset = claim.address - self.region.start;
        // SAFETY: the claim lies in the first `length` bytes of the region, which the mapping contains.
        Some(unsafe { backing.base.add(offset as usize) })
    }

    /// Host pointer to a page table, by its guest-physical address, valid to the end of its page.
    pub fn table(&self, physical: u64) -> Option<NonNull<u8>> {
        let offset = physical.checked_sub(self.tables.start).filter(|offset| *offset < self.tables.length)?;
        let backing = self.backing().filter(|backing| backing.length + offset < backing.owned)?;
        // SAFETY: the sum is less than `owned`, the size of the mapping.
        Some(unsafe { backing.base.add((backing.length + offset) as usize) })
    }

    /// Returns true if the guest has every page that a claim inside the region touches.
    pub fn is_mapped(&self, claim: Claim) -> bool {
        let Some(last) = claim.address.checked_add(claim.length.saturating_sub(1)) else { return false };
        let state = self.state();
        (claim.address / PAGE..=last / PAGE).all(|page| state.pages.has(page * PAGE))
    }

    /// Returns true if the guest has the page at this address.
    pub fn has(&self, address: u64) -> bool {
        self.state().pages.has(address)
    }

    /// Runs of pages that the guest has among these.
    pub fn had(&self, pages: Region) -> Vec<Region> {
        self.state().pages.runs(pages)
    }

    /// Runs of pages among these that the guest does not have, and has rights to.
    pub fn missing(&self, pages: Region) -> Vec<Region> {
        let state = self.state();
        let open = state.rights.runs(pages).into_iter().filter(|(_, rights)| !rights.is_empty());
        open.flat_map(|(run, _)| state.pages.holes(run)).collect()
    }

    /// Rights of the guest to the page at this address, once it has the page.
    pub fn rights(&self, address: u64) -> Rights {
        self.state().rights.at(address)
    }

    /// Changes these rights for the pages of a claim inside the region, touched or not.
    pub fn protect(&self, claim: Claim, rights: Rights) -> io::Result<()> {
        let pages = Region { start: claim.address, length: claim.length };
        let from = self.find(claim).ok_or(io::ErrorKind::OutOfMemory)?.as_ptr() as u64;
        let mut state = self.state();
        if state.rights.is_full() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        for run in state.pages.runs(pages) {
            protect(Region { start: from + (run.start - pages.start), ..run }, rights)?;
        }
        state.rights.set(pages, rights);
        Ok(())
    }

    /// Gives the guest these pages, which it does not have, in the host's mapping: with its rights.
    pub fn open(&self, pages: Region) -> io::Result<()> {
        let from = self.host_address().ok_or(io::ErrorKind::OutOfMemory)?;
        let mut state = self.state();
        let runs = state.rights.runs(pages);
        for (number, (run, rights)) in runs.iter().enumerate() {
            let on_host = Region { start: from + (run.start - self.region.start), ..*run };
            let opened = match self.addresses {
                Addresses::Direct => map_at(*run, *rights),
                Addresses::Translated if *rights == USUAL => Ok(()),
                Addresses::Translated => protect(on_host, *rights),
            };
            if let Err(error) = opened {
                runs.iter().take(number).for_each(|(run, _)| drop(self.shut(*run)));
                return Err(error);
            }
        }
        (pages.start..pages.end()).step_by(PAGE as usize).for_each(|page| state.pages.insert(page));
        Ok(())
    }

    /// Takes from the guest pages that it has. The caller must give their memory back to the host at once. If the host refuses,
    /// the guest keeps them.
    pub fn close(&self, pages: Region) -> io::Result<()> {
        let mut state = self.state();
        let is_usual = state.rights.runs(pages).iter().all(|(_, rights)| *rights == USUAL);
        if self.addresses == Addresses::Direct || !is_usual {
            self.shut(pages)?;
        }
        state.pages.remove(pages);
        Ok(())
    }

    /// Brings the host's mapping of these pages to the state before they were opened.
    fn shut(&self, pages: Region) -> io::Result<()> {
        match self.addresses {
            Addresses::Direct => unmap(pages),
            Addresses::Translated => {
                let from = self.host_address().ok_or(io::ErrorKind::OutOfMemory)?;
                protect(Region { start: from + (pages.start - self.region.start), ..pages }, USUAL)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        if let Some(Some(backing)) = self.backing.get()
            && backing.owned > 0
        {
            let _ = unmap(Region { start: backing.base.as_ptr() as u64, length: backing.owned });
        } else if self.region.length > 0 {
            self.had(self.region).into_iter().for_each(|run| drop(unmap(run)));
        }
    }
}
