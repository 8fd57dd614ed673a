//! Guest memory as the host sees it: one mapping, and the one way from a guest address to a host pointer.
//!
//! The mapping holds all guest-physical memory, first the tender's own pages, then the window. The image's segments
//! are mapped over it privately from the file, so that they are shared with every other guest of the same image until
//! written. No Rust reference is ever made to memory that the guest can write: it is copied by system calls and raw
//! copies only.

#![expect(unsafe_code, reason = "mappings are made by address, and guest memory is reached by pointer")]

use crate::error::Error;
use crate::fault::Fault;
use crate::image::{Image, Segment};
use crate::layout::Layout;
use crate::resident::Resident;
use crate::sparse::Sparse;
use husk_abi::memory::{BOOT, BOOT_SIZE, PAGE, Region, Rights, TENDER_SIZE};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// A range of bytes that the guest says is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// First guest-virtual address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}

/// All memory of one guest.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    /// What the guest may name in a call, and what it may do there.
    regions: Vec<(Region, Rights)>,
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
        let base = reserve(layout.physical_extent()).map_err(Error::NoMemory)?;
        let readable = Rights::READ;
        let writable = Rights::READ | Rights::WRITE;
        let regions = vec![(layout.heap, writable), (layout.main_stack, writable)];
        let mut memory = Self { base, layout, regions, sparse: Sparse::new(&layout), resident: Resident::open() };
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
        memory.regions.push((Region { start: BOOT, length: BOOT_SIZE }, readable));
        Ok(memory)
    }

    /// The plan this memory follows.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where guest-physical memory starts in the tender's address space.
    pub fn host_address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// The only way from a guest address to a host pointer: the claim must lie within one region that the guest was
    /// given with at least `rights`. The pointer is good for the whole length of the claim.
    pub fn check(&self, claim: Claim, rights: Rights) -> Result<NonNull<u8>, Fault> {
        let fault = Fault::NotGuestMemory { claim, rights };
        let end = claim.address.checked_add(claim.length).ok_or(fault.clone())?;
        let inside = |region: &Region| claim.address >= region.start && end <= region.end();
        let Some(_) = self.regions.iter().find(|(region, has)| inside(region) && has.contains(rights)) else {
            return Err(fault);
        };
        let physical = match claim.address >= self.layout.window.start {
            true => self.layout.physical(claim.address),
            false => claim.address,
        };
        // SAFETY: the claim lies in a region of the layout, all of which is inside the one mapping.
        Ok(unsafe { self.base.add(physical as usize) })
    }

    /// The sparse region's part.
    pub fn sparse(&self) -> &Sparse {
        &self.sparse
    }

    /// The same for the thread that runs the guest, and the sparse region included, as far as the guest has touched it.
    pub fn check_with_sparse(&self, claim: Claim, rights: Rights) -> Result<NonNull<u8>, Fault> {
        let touched = self.sparse.find(claim).filter(|_| self.sparse.is_mapped(claim));
        touched.map_or_else(|| self.check(claim, rights), Ok)
    }

    /// Whole pages of the heap or the sparse region.
    pub fn pages(&self, claim: Claim) -> Result<NonNull<u8>, Fault> {
        self.sparse.find(claim).map_or_else(|| self.check(claim, Rights::READ | Rights::WRITE), Ok)
    }

    /// A host pointer to `length` bytes of the rings at a guest address of our own making. No call may name them, so
    /// they are always there, readable and writable.
    pub fn ring(&self, address: u64, length: u64) -> NonNull<u8> {
        let rings = self.layout.rings;
        assert!(address >= rings.start && address + length <= rings.end(), "rings are where the layout has them");
        // SAFETY: asserted to be inside the rings, which are inside the mapping.
        unsafe { self.base.add(self.layout.physical(address) as usize) }
    }

    /// Copies `bytes` to the tender's own guest-physical pages.
    pub fn write_own(&mut self, physical: u64, bytes: &[u8]) {
        assert!(physical + bytes.len() as u64 <= TENDER_SIZE, "own pages end at {TENDER_SIZE:#x}");
        // SAFETY: asserted to be inside the mapping, below the window.
        let to = unsafe { self.base.add(physical as usize) };
        // SAFETY: the guest does not run yet, nobody else has a pointer there, and `bytes` lies outside guest memory.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// A host pointer to one of the tender's own guest-physical addresses, good to the end of its page.
    pub fn own(&self, physical: u64) -> NonNull<u8> {
        if let Some(table) = self.sparse.table(physical) {
            return table;
        }
        assert!(physical < TENDER_SIZE, "own pages end at {TENDER_SIZE:#x}");
        // SAFETY: asserted to be inside the mapping.
        unsafe { self.base.add(physical as usize) }
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
    pub fn protect(&self, claim: Claim, rights: Rights) -> Result<io::Result<()>, Fault> {
        let from = self.pages(claim)?;
        let mut protection = libc::PROT_NONE;
        if rights.contains(Rights::READ) {
            protection |= libc::PROT_READ;
        }
        if rights.contains(Rights::WRITE) {
            protection |= libc::PROT_WRITE;
        }
        // SAFETY: `pages` found the claim to be guest memory, which we reach by system calls and raw copies only.
        let result = unsafe { libc::mprotect(from.as_ptr().cast(), claim.length as usize, protection) };
        Ok(if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) })
    }

    /// Gives whole pages of the heap back to the host; or has them hold zeros, if no more than `kept` hold anything.
    pub fn discard(&self, claim: Claim, kept: u64) -> Result<io::Result<()>, Fault> {
        let from = self.pages(claim)?;
        if kept > 0 && self.resident.clear(from.as_ptr() as u64, claim.length, kept) {
            return Ok(Ok(()));
        }
        // SAFETY: `pages` found the claim to be guest memory; that it reads as zeros afterwards is what was asked for.
        let result = unsafe { libc::madvise(from.as_ptr().cast(), claim.length as usize, libc::MADV_DONTNEED) };
        Ok(if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) })
    }

    /// Brings a segment's contents into memory: mapped from the file, but for pages that differ from it: those with
    /// words to relocate, and a last one that is filled up with zeros. These are copied.
    fn load(&self, image: &Image, segment: &Segment) -> Result<(), Error> {
        let not_mapped = |error| Error::NotMapped { path: image.path.clone(), error };
        let pages = segment.pages();
        let contents_end = segment.region.start + segment.file_size;
        let zeros_follow = segment.region.length > segment.file_size;
        let mappable = if zeros_follow { contents_end & !(PAGE - 1) } else { contents_end.next_multiple_of(PAGE) };
        let relocations = image.relocations.within(segment.region);
        let copied = match (relocations.clone().next(), relocations.clone().next_back()) {
            (Some(first), Some(last)) => {
                Region::between(first.address & !(PAGE - 1), (last.address + 8).next_multiple_of(PAGE).min(pages.end()))
            }
            _ => Region { start: mappable, length: 0 },
        };
        self.map_file(image, segment, Region::between(pages.start, copied.start.min(mappable))).map_err(not_mapped)?;
        self.map_file(image, segment, Region::between(copied.end(), mappable)).map_err(not_mapped)?;
        self.copy(image, segment, copied).map_err(not_mapped)?;
        self.copy(image, segment, Region::between(mappable.max(copied.end()), contents_end)).map_err(not_mapped)?;
        for relocation in relocations {
            let value = self.layout.load_bias.wrapping_add(relocation.addend);
            // SAFETY: the image was checked to have the whole word in this writable segment, whose pages with
            // relocations were copied above; the guest does not run yet.
            unsafe { self.at(relocation.address).cast::<u64>().write_unaligned(value) };
        }
        Ok(())
    }

    /// Maps the whole image file behind the window.
    fn map_image_file(&self, image: &Image) -> Result<(), Error> {
        // SAFETY: the extent of the mapping includes the file.
        let to = unsafe { self.base.add(self.layout.physical(self.layout.image_file.start) as usize) };
        // SAFETY: replaces pages inside our own mapping, which nobody refers to yet.
        let result = unsafe {
            libc::mmap(
                to.as_ptr().cast(),
                self.layout.image_file.length as usize,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                image.file.as_raw_fd(),
                0,
            )
        };
        match result {
            libc::MAP_FAILED => Err(Error::NotMapped { path: image.path.clone(), error: io::Error::last_os_error() }),
            _ => Ok(()),
        }
    }

    /// Maps whole pages of a segment privately from the file.
    fn map_file(&self, image: &Image, segment: &Segment, pages: Region) -> io::Result<()> {
        if pages.length == 0 {
            return Ok(());
        }
        let mut protection = libc::PROT_READ;
        if segment.rights.contains(Rights::WRITE) {
            protection |= libc::PROT_WRITE;
        }
        let offset = segment.file_offset.wrapping_add(pages.start.wrapping_sub(segment.region.start));
        // SAFETY: replaces pages inside our own mapping, which nobody refers to yet.
        let result = unsafe {
            libc::mmap(
                self.at(pages.start).as_ptr().cast(),
                pages.length as usize,
                protection,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                image.file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if result == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Copies what the file has for these addresses of a segment; where it has nothing, zeros remain.
    fn copy(&self, image: &Image, segment: &Segment, wanted: Region) -> io::Result<()> {
        let start = wanted.start.max(segment.region.start);
        let end = wanted.end().min(segment.region.start + segment.file_size);
        let (mut offset, end) = (segment.file_offset + (start - segment.region.start), end.saturating_sub(start));
        let mut copied = 0;
        while copied < end {
            let to = self.at(start + copied);
            // SAFETY: `start` to its end lies in the segment, inside our mapping; the guest does not run yet.
            let count = unsafe {
                let length = (end - copied) as usize;
                libc::pread(image.file.as_raw_fd(), to.as_ptr().cast(), length, offset as libc::off_t)
            };
            match u64::try_from(count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => (copied, offset) = (copied + count, offset + count),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Where an address of the image file is in the host mapping.
    fn at(&self, address_in_file: u64) -> NonNull<u8> {
        let physical = self.layout.physical(address_in_file.wrapping_add(self.layout.load_bias));
        assert!(physical <= self.layout.physical_size(), "the layout has room for the whole image");
        // SAFETY: asserted to be inside the mapping.
        unsafe { self.base.add(physical as usize) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every pointer into it lived shorter than `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.layout.physical_extent() as usize) };
    }
}

/// Reserves zeroed memory; pages are only taken when touched.
pub fn reserve(size: u64) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}
