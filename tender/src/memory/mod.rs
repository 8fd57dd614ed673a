//! Guest memory as the host sees it: one mapping, and the only way from a guest address to a host pointer.
//!
//! The mapping holds all guest-physical memory, first the tender's own pages, then the guest_ram. The image's segments are mapped
//! over it with MAP_PRIVATE from the file, so that all guests of the same image share their pages until they are written. No
//! Rust reference is ever made to memory that the guest can write: only system calls and raw copies access it.

#![expect(unsafe_code, reason = "mappings are made by address, and guest memory is reached by pointer")]

pub mod claim;
mod direct;
mod error;
pub mod grant;
pub mod host;
mod large;
pub mod layout;
mod load;
mod pagemap;
#[cfg(test)]
mod property;
pub mod sparse;
mod touch;
mod transfer;

pub use claim::Claim;
pub use error::{Error, Refused};
pub use touch::Touch;

use crate::confine::Descriptors;
use crate::image::Image;
use crate::memory::layout::{Addresses, Layout};
use crate::memory::pagemap::Resident;
use crate::memory::sparse::Sparse;
use host::{protect, reserve_aligned};
use husk_abi::memory::{BOOT, BOOT_SIZE, Region, Rights, TENDER_SIZE};
use husk_abi::processor::Block;
use husk_abi::signals;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Memory of one guest.
#[derive(Debug)]
pub struct Memory {
    /// Host address of guest-physical address 0; for a guest in this process, which has nothing below its gate, where it would
    /// be.
    base: u64,
    /// Bytes of guest-physical memory that a guest in this process may use so far.
    attached: AtomicU64,
    layout: Layout,
    /// Regions that the guest may name in a call, with its rights.
    regions: Vec<(Region, Rights)>,
    /// Records of the libos that the tender reads and writes in place, while the guest uses them. The guest cannot protect
    /// them.
    records: Vec<Region>,
    sparse: Sparse,
    resident: Resident,
}

// SAFETY: the mapping does not move, and threads access it by pointers and system calls only.
unsafe impl Send for Memory {}
// SAFETY: the mapping is accessed by pointers and system calls only; the fields of `self` are constant, or synchronize
// themselves.
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
        // A native program keeps no pages, so that it need not wait until pagemap is open.
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
        // The zeros that pad a segment's last page are the guest's too.
        memory.regions.extend(image.parts().map(|(pages, rights)| (layout.loaded(pages), rights & writable)));
        if layout.image_file.length > 0 {
            memory.map_image_file(image)?;
            memory.regions.push((layout.image_file, readable));
        }
        memory.regions.push((layout.libos_stack, writable));
        memory.regions.push((Region { start: layout.tender_address(BOOT), length: BOOT_SIZE }, readable));
        Ok(memory)
    }

    /// Takes from a guest in this process the rights that it must not have to its image, once the image is complete.
    pub fn seal(&self, image: &Image) -> Result<(), Error> {
        direct::seal(&self.layout, image).map_err(Error::NoMemory)
    }

    /// Makes the tender's own pages read-only to a guest in this process: from here on, only [`Self::rewrite_tender_page`] can write
    /// them.
    pub fn seal_tender_pages(&self) -> Result<(), Error> {
        direct::seal_tender_pages(&self.layout).map_err(Error::NoMemory)
    }

    /// Has the tender write the page at one of its own guest-physical addresses, which the guest reads. The guest does not run
    /// during the write.
    pub fn rewrite_tender_page(&self, physical: u64, write: impl FnOnce()) {
        match self.layout.addresses {
            Addresses::Translated => write(),
            Addresses::Direct => direct::rewrite(&self.layout, physical, write),
        }
    }

    /// Notes which files are open.
    pub fn list(&self, descriptors: &mut Descriptors) {
        self.resident.list(descriptors);
    }

    /// Returns the bytes of guest-physical memory that a guest in this process may use so far.
    pub fn attached(&self) -> u64 {
        self.attached.load(Relaxed)
    }

    /// Sets the bytes of guest-physical memory that a guest in this process may use.
    pub fn note_attached(&self, bytes: u64) {
        self.attached.store(bytes, Relaxed);
    }

    /// Part of the heap that the guest may use.
    pub fn attached_heap(&self) -> Region {
        Region { length: self.layout.heap_attached(self.attached()), ..self.layout.heap }
    }

    /// Layout of this memory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Host address of guest-physical address 0.
    pub fn host_address(&self) -> u64 {
        self.base
    }

    /// Host pointer to a guest-physical address.
    fn host(&self, physical: u64) -> NonNull<u8> {
        assert!(physical <= self.layout.physical_extent(), "the layout has room for everything");
        // SAFETY: a mapping has no address 0.
        unsafe { NonNull::new_unchecked((self.base + physical) as *mut u8) }
    }

    /// Returns a host pointer for a claim of the guest: the only way from a guest address to a host pointer. The claim must lie
    /// within one region that the guest has with at least `rights`. The pointer is valid for the whole length of the claim.
    pub fn check(&self, claim: Claim, rights: Rights) -> Result<NonNull<u8>, Refused> {
        let refused = Refused::NotGiven { claim, rights };
        let end = claim.address.checked_add(claim.length).ok_or(refused)?;
        let inside = |region: &Region| claim.address >= region.start && end <= region.end();
        let Some(_) = self.regions.iter().find(|(region, has)| inside(region) && has.contains(rights)) else {
            return Err(refused);
        };
        let physical = match claim.address >= self.layout.guest_ram.start {
            true => self.layout.physical(claim.address),
            false => claim.address - self.layout.own,
        };
        Ok(self.host(physical))
    }

    /// Host's side of the sparse region.
    pub fn sparse(&self) -> &Sparse {
        &self.sparse
    }

    /// Checks a claim as [`Self::check`] does, and also accepts the pages of the sparse region that the guest has touched; only
    /// for the thread that runs the guest.
    pub fn check_with_sparse(&self, claim: Claim, rights: Rights) -> Result<NonNull<u8>, Refused> {
        let touched = self.sparse.find(claim).filter(|_| self.sparse.is_mapped(claim));
        touched.map_or_else(|| self.check(claim, rights), Ok)
    }

    /// Returns true if a claim lies in the sparse region, whether or not the host has addresses for it.
    pub fn is_sparse(&self, claim: Claim) -> bool {
        let region = self.layout.sparse;
        region.contains(claim.address) && claim.length <= region.end() - claim.address
    }

    /// Host pointer to whole pages of the heap or the sparse region.
    pub fn pages(&self, claim: Claim) -> Result<NonNull<u8>, Refused> {
        self.sparse.find(claim).map_or_else(|| self.check(claim, Rights::READ | Rights::WRITE), Ok)
    }

    /// Host pointer to `length` bytes of the rings, at a guest address that the tender computes. No call may name the rings, so
    /// that they are always readable and writable.
    pub fn ring(&self, address: u64, length: u64) -> NonNull<u8> {
        let rings = self.layout.rings;
        assert!(address >= rings.start && address + length <= rings.end(), "rings are where the layout has them");
        self.host(self.layout.physical(address))
    }

    /// Copies `bytes` to the tender's own guest-physical pages.
    pub fn write_tender_page(&mut self, physical: u64, bytes: &[u8]) {
        assert!(physical + bytes.len() as u64 <= TENDER_SIZE, "own pages end at {TENDER_SIZE:#x}");
        let to = self.tender_address(physical);
        // SAFETY: the guest does not run yet, no other code has a pointer there, and `bytes` lies outside guest memory.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// Host pointer to one of the tender's own guest-physical addresses, valid to the end of its page.
    pub fn tender_address(&self, physical: u64) -> NonNull<u8> {
        if let Some(table) = self.sparse.table(physical) {
            return table;
        }
        assert!(physical < TENDER_SIZE, "own pages end at {TENDER_SIZE:#x}");
        self.host(physical)
    }

    /// Writes a word of the tender's own pages.
    pub fn set_tender_word(&self, physical: u64, word: u64) {
        assert!(physical.is_multiple_of(8), "own words are aligned");
        // SAFETY: `own` found the address inside the mapping, aligned; only the processor reads it, once it runs.
        unsafe { self.tender_address(physical).cast::<u64>().write_volatile(word) };
    }

    /// Reads a word of the tender's own pages.
    pub fn tender_word(&self, physical: u64) -> u64 {
        // SAFETY: `own` found the address inside the mapping; callers ask for aligned words, and only while the guest is
        // stopped, so that the processor does not write them.
        unsafe { self.tender_address(physical).cast::<u64>().read_volatile() }
    }

    /// Changes the guest's rights to whole pages of its heap or the sparse region, by mprotect(2) on the host mapping. Pages
    /// with a record of the libos stay readable and writable.
    pub fn protect(&self, claim: Claim, rights: Rights) -> Result<io::Result<()>, Refused> {
        let writable = Rights::READ | Rights::WRITE;
        let end = claim.address.saturating_add(claim.length);
        if rights != writable && self.records.iter().any(|it| it.start < end && claim.address < it.end()) {
            return Err(Refused::Record { claim });
        }
        if self.is_sparse(claim) {
            return Ok(self.sparse.protect(claim, rights));
        }
        // Memory that is not attached does not belong to the guest yet.
        if self.layout.addresses == Addresses::Direct
            && self.layout.heap.contains(claim.address)
            && end > self.attached_heap().end()
        {
            return Ok(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let from = self.pages(claim)?;
        Ok(protect(Region { start: from.as_ptr() as u64, length: claim.length }, rights))
    }

    /// A bit for each of these whole pages that holds anything; `None` if the host does not say.
    pub fn populated(&self, claim: Claim) -> Result<Option<Vec<u8>>, Refused> {
        let from = self.pages(claim)?;
        Ok(self.resident.bits(from.as_ptr() as u64, claim.length))
    }

    /// Gives whole pages of the heap or the sparse region back to the host; or fills them with zeros, if at most `kept` of them
    /// are in use.
    pub fn discard(&self, claim: Claim, kept: u64) -> Result<io::Result<()>, Refused> {
        if self.is_sparse(claim) && self.layout.addresses == Addresses::Direct {
            // The others are unmapped already.
            let kept = self.sparse.had(Region { start: claim.address, length: claim.length });
            return Ok(kept.into_iter().try_for_each(|run| host::advise(run, libc::MADV_DONTNEED)));
        }
        let from = self.pages(claim)?;
        if kept > 0 && self.resident.clear(from.as_ptr() as u64, claim.length, kept) {
            return Ok(Ok(()));
        }
        // SAFETY: `pages` found the claim to be guest memory; the caller wants the pages to read as zeros.
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
        // SAFETY: `map` made the mapping, and no pointer into it outlives `self`.
        unsafe { libc::munmap(all.start as *mut libc::c_void, all.length as usize) };
    }
}

/// Records that the tender uses in place, from the notes of `image`.
fn records(image: &Image, bias: u64) -> Vec<Region> {
    let processor = image.notes.processors.map(|note| (note.blocks, size_of::<Block>()));
    let signals = image.notes.signals.map(|record| (record, size_of::<signals::Record>()));
    let found = [processor, signals].into_iter().flatten();
    found.map(|(start, size)| Region { start: start.wrapping_add(bias), length: size as u64 }).collect()
}
