//! Guest memory as the host sees it: one mapping, and the one way from a guest address to a host pointer.
//!
//! The mapping holds all guest-physical memory, first the tender's own pages, then the window. The image's segments
//! are mapped over it privately from the file, so that they are shared with every other guest of the same image until
//! written. No Rust reference is ever made to memory that the guest can write: it is copied by system calls and raw
//! copies only.

#![expect(unsafe_code, reason = "mappings are made by address, and guest memory is reached by pointer")]

pub mod claim;
mod direct;
mod error;
pub mod host;
mod large;
mod load;
#[cfg(test)]
mod property;

pub use claim::Claim;
pub use error::{Error, Refused};

use crate::confine::Descriptors;
use crate::image::Image;
use crate::layout::{Addresses, Layout};
use crate::resident::Resident;
use crate::sparse::Sparse;
use host::{protect, reserve_aligned};
use husk_abi::memory::{BOOT, BOOT_SIZE, Region, Rights, TENDER_SIZE};
use husk_abi::{signals, turns};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// All memory of one guest.
#[derive(Debug)]
pub struct Memory {
    /// Where guest-physical address 0 is, or would be: a guest in this process has nothing before its gate.
    base: u64,
    /// How many bytes of guest-physical memory a guest in this process may use so far.
    attached: AtomicU64,
    layout: Layout,
    /// What the guest may name in a call, and what it may do there.
    regions: Vec<(Region, Rights)>,
    /// What the tender reads and writes in place, as it is in use: records of the libos. The guest cannot protect them.
    records: Vec<Region>,
    sparse: Sparse,
    resident: Resident,
}

// SAFETY: the mapping stays where it is, and is only reached by pointers and system calls, from whatever thread.
unsafe impl Send for Memory {}
// SAFETY: as above; what `self` itself holds does not change.
unsafe impl Sync for Memory {}

impl Memory {
    /// Reserves the memory of `layout` and maps `image` into it.
    pub fn map(layout: Layout, image: &Image) -> Result<Self, Error> {
        let base = match layout.addresses {
            Addresses::Translated => {
                reserve_aligned(layout.physical_extent()).map_err(Error::NoMemory)?.as_ptr() as u64
            }
            Addresses::Direct => direct::reserve(&layout, image)?,
        };
        let readable = Rights::READ;
        let writable = Rights::READ | Rights::WRITE;
        let regions = vec![(layout.heap, writable), (layout.main_stack, writable)];
        // A native program keeps no pages: it need not wait for what tells which hold something.
        let resident = if layout.sparse.length > 0 { Resident::open() } else { Resident::default() };
        let mut memory = Self {
            base,
            attached: AtomicU64::new(layout.attached_at_start()),
            layout,
            regions,
            records: records(image, layout.load_bias),
            sparse: Sparse::new(&layout),
            resident,
        };
        for segment in &image.segments {
            memory.load(image, segment)?;
        }
        // The zeros that fill a segment's last page are the guest's too.
        memory.regions.extend(image.parts().map(|(pages, rights)| (layout.loaded(pages), rights & writable)));
        if layout.image_file.length > 0 {
            memory.map_image_file(image)?;
            memory.regions.push((layout.image_file, readable));
        }
        memory.regions.push((layout.libos_stack, writable));
        memory.regions.push((Region { start: layout.own(BOOT), length: BOOT_SIZE }, readable));
        Ok(memory)
    }

    /// Takes from a guest in this process what it may not do with its image, which is as it is to be.
    pub fn seal(&self, image: &Image) -> io::Result<()> {
        direct::seal(&self.layout, image)
    }

    /// The same for the tender's own pages: from here on, they can only be written by [`Self::rewrite_own`].
    pub fn seal_own(&self) -> io::Result<()> {
        direct::seal_own(&self.layout)
    }

    /// Has the tender write the page at one of its own guest-physical addresses, which the guest reads; the guest does not
    /// run meanwhile.
    pub fn rewrite_own(&self, physical: u64, write: impl FnOnce()) {
        match self.layout.addresses {
            Addresses::Translated => write(),
            Addresses::Direct => direct::rewrite(&self.layout, physical, write),
        }
    }

    /// Notes which files it has open.
    pub fn list(&self, descriptors: &mut Descriptors) {
        self.resident.list(descriptors);
    }

    /// How many bytes of guest-physical memory a guest in this process may use so far.
    pub fn attached(&self) -> u64 {
        self.attached.load(Relaxed)
    }

    /// Notes that it may use so many.
    pub fn note_attached(&self, bytes: u64) {
        self.attached.store(bytes, Relaxed);
    }

    /// What it may use of its heap.
    pub fn attached_heap(&self) -> Region {
        Region { length: self.layout.heap_attached(self.attached()), ..self.layout.heap }
    }

    /// The plan this memory follows.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where guest-physical memory starts in the tender's address space.
    pub fn host_address(&self) -> u64 {
        self.base
    }

    /// A host pointer to a guest-physical address.
    fn host(&self, physical: u64) -> NonNull<u8> {
        assert!(physical <= self.layout.physical_extent(), "the layout has room for everything");
        // SAFETY: a mapping has no address 0.
        unsafe { NonNull::new_unchecked((self.base + physical) as *mut u8) }
    }

    /// The only way from a guest address to a host pointer: the claim must lie within one region that the guest was
    /// given with at least `rights`. The pointer is good for the whole length of the claim.
    pub fn check(&self, claim: Claim, rights: Rights) -> Result<NonNull<u8>, Refused> {
        let refused = Refused::NotGiven { claim, rights };
        let end = claim.address.checked_add(claim.length).ok_or(refused)?;
        let inside = |region: &Region| claim.address >= region.start && end <= region.end();
        let Some(_) = self.regions.iter().find(|(region, has)| inside(region) && has.contains(rights)) else {
            return Err(refused);
        };
        let physical = match claim.address >= self.layout.window.start {
            true => self.layout.physical(claim.address),
            false => claim.address - self.layout.own,
        };
        Ok(self.host(physical))
    }

    /// The sparse region's part.
    pub fn sparse(&self) -> &Sparse {
        &self.sparse
    }

    /// The same for the thread that runs the guest, and the sparse region included, as far as the guest has touched it.
    pub fn check_with_sparse(&self, claim: Claim, rights: Rights) -> Result<NonNull<u8>, Refused> {
        let touched = self.sparse.find(claim).filter(|_| self.sparse.is_mapped(claim));
        touched.map_or_else(|| self.check(claim, rights), Ok)
    }

    /// Whole pages of the heap or the sparse region.
    pub fn pages(&self, claim: Claim) -> Result<NonNull<u8>, Refused> {
        self.sparse.find(claim).map_or_else(|| self.check(claim, Rights::READ | Rights::WRITE), Ok)
    }

    /// A host pointer to `length` bytes of the rings at a guest address of our own making. No call may name them, so
    /// they are always there, readable and writable.
    pub fn ring(&self, address: u64, length: u64) -> NonNull<u8> {
        let rings = self.layout.rings;
        assert!(address >= rings.start && address + length <= rings.end(), "rings are where the layout has them");
        self.host(self.layout.physical(address))
    }

    /// Copies `bytes` to the tender's own guest-physical pages.
    pub fn write_own(&mut self, physical: u64, bytes: &[u8]) {
        assert!(physical + bytes.len() as u64 <= TENDER_SIZE, "own pages end at {TENDER_SIZE:#x}");
        let to = self.own(physical);
        // SAFETY: the guest does not run yet, nobody else has a pointer there, and `bytes` lies outside guest memory.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// A host pointer to one of the tender's own guest-physical addresses, good to the end of its page.
    pub fn own(&self, physical: u64) -> NonNull<u8> {
        if let Some(table) = self.sparse.table(physical) {
            return table;
        }
        assert!(physical < TENDER_SIZE, "own pages end at {TENDER_SIZE:#x}");
        self.host(physical)
    }

    /// Writes a word of the tender's own pages.
    pub fn set_own_word(&self, physical: u64, word: u64) {
        assert!(physical.is_multiple_of(8), "own words are aligned");
        // SAFETY: `own` found the address inside the mapping, aligned; only the processor looks there, once it runs.
        unsafe { self.own(physical).cast::<u64>().write_volatile(word) };
    }

    /// Reads a word of the tender's own pages.
    pub fn own_word(&self, physical: u64) -> u64 {
        // SAFETY: `own` found the address inside the mapping; the words asked for are aligned and written by the
        // processor while the guest is stopped.
        unsafe { self.own(physical).cast::<u64>().read_volatile() }
    }

    /// Reads the 8 bytes at a guest address for a report; nothing if they are not the guest's or cannot be read.
    pub fn peek(&self, address: u64) -> Option<u64> {
        let claim = Claim { address, length: 8 };
        let from = self.sparse.find(claim).or_else(|| self.check(claim, Rights::READ).ok())?;
        let mut bytes = [0u8; 8];
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 8 };
        let remote = libc::iovec { iov_base: from.as_ptr().cast(), iov_len: 8 };
        let own_process = std::process::id() as libc::pid_t;
        // A system call, because the page may be protected, or gone with a truncated file.
        // SAFETY: both vectors describe 8 bytes, the local one a buffer of our own; the other only has to be a number.
        let count = unsafe { libc::process_vm_readv(own_process, &local, 1, &remote, 1, 0) };
        (count == 8).then(|| u64::from_ne_bytes(bytes))
    }

    /// Changes what the guest may do with whole pages of its heap, by changing what the host mapping allows.
    /// Pages with a record of the libos stay readable and writable.
    pub fn protect(&self, claim: Claim, rights: Rights) -> Result<io::Result<()>, Refused> {
        let writable = Rights::READ | Rights::WRITE;
        let end = claim.address.saturating_add(claim.length);
        if rights != writable && self.records.iter().any(|it| it.start < end && claim.address < it.end()) {
            return Err(Refused::Record { claim });
        }
        if self.layout.addresses == Addresses::Direct {
            if self.sparse.find(claim).is_some() {
                return Ok(self.sparse.protect(claim, rights));
            }
            // What is not attached does not count yet.
            if self.layout.heap.contains(claim.address) && claim.address + claim.length > self.attached_heap().end() {
                return Ok(Err(io::ErrorKind::OutOfMemory.into()));
            }
        }
        let from = self.pages(claim)?;
        Ok(protect(Region { start: from.as_ptr() as u64, length: claim.length }, rights))
    }

    /// Gives whole pages of the heap back to the host; or has them hold zeros, if no more than `kept` hold anything.
    pub fn discard(&self, claim: Claim, kept: u64) -> Result<io::Result<()>, Refused> {
        let from = self.pages(claim)?;
        if kept > 0 && self.resident.clear(from.as_ptr() as u64, claim.length, kept) {
            return Ok(Ok(()));
        }
        // SAFETY: `pages` found the claim to be guest memory; that it reads as zeros afterwards is what was asked for.
        let result = unsafe { libc::madvise(from.as_ptr().cast(), claim.length as usize, libc::MADV_DONTNEED) };
        Ok(if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let all = match self.layout.addresses {
            Addresses::Translated => Region { start: self.base, length: self.layout.physical_extent() },
            Addresses::Direct => direct::extent(&self.layout),
        };
        // SAFETY: the mapping is ours, and every pointer into it lived shorter than `self`.
        unsafe { libc::munmap(all.start as *mut libc::c_void, all.length as usize) };
    }
}

/// The records that the tender uses in place, as the notes of `image` name them.
fn records(image: &Image, bias: u64) -> Vec<Region> {
    let turns = image.notes.turns.map(|note| (note.record, size_of::<turns::Record>()));
    let signals = image.notes.signals.map(|record| (record, size_of::<signals::Record>()));
    let found = [turns, signals].into_iter().flatten();
    found.map(|(start, size)| Region { start: start.wrapping_add(bias), length: size as u64 }).collect()
}
