//! Memory for a guest in this process: at its own addresses, and with the rights that it has there.
//!
//! One reservation that nobody can touch holds it all, from the gate to the end of the sparse region; parts of it become
//! accessible when they are loaded, attached or touched. So guards and gaps need no work.

#![expect(unsafe_code, reason = "mappings are made by address")]

use super::{protect, protection};
use crate::error::Error;
use crate::image::{Image, Segment};
use crate::layout::Layout;
use husk_abi::memory::{BOOT, BOOT_SIZE, CLOCK, GATE, PAGE, Region, Rights};
use std::io;
use std::ptr::{NonNull, null_mut};

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);
/// Guest-physical addresses of the pages that the guest reads and only the tender writes: the clock, and what there is to
/// know at the start.
pub const SHOWN: Region = Region::between(CLOCK, BOOT + BOOT_SIZE);

/// Everything that the guest may have.
pub fn extent(layout: &Layout) -> Region {
    Region::between(layout.own(GATE), layout.sparse.end().max(layout.image_file.end()).next_multiple_of(PAGE))
}

/// Reserves it and makes what the guest has from the start accessible: for writing, until it is sealed. Tells where
/// guest-physical address 0 would be, and where the clock page is written.
pub fn reserve(layout: &Layout, image: &Image) -> Result<(u64, Option<NonNull<u8>>), Error> {
    let all = extent(layout);
    map_at(all).map_err(|error| match error.raw_os_error() {
        Some(libc::EEXIST | libc::EPERM | libc::EINVAL) => Error::AddressesTaken { path: image.path.clone(), all },
        _ => Error::NoMemory(error),
    })?;
    let heap = Region { length: layout.heap_attached(layout.attached_at_start()), ..layout.heap };
    let gate = Region { start: layout.own(GATE), length: PAGE };
    let segments = image.segments.iter().filter(|segment| has_own(image, segment));
    let segments = segments.map(|segment| layout.loaded(segment.pages()));
    let parts = segments.chain([gate, layout.libos_stack, layout.main_stack, layout.rings, heap]);
    for part in parts.filter(|part| part.length > 0) {
        protect(part, READ_WRITE).map_err(Error::NoMemory)?;
    }
    let shown = show(layout.own(SHOWN.start)).map_err(Error::NoMemory)?;
    Ok((layout.own, Some(shown)))
}

/// Takes from the guest what it may not do with its image and the gate, which are as they are to be.
pub fn seal(layout: &Layout, image: &Image) -> io::Result<()> {
    let segments = image.segments.iter().filter(|segment| has_own(image, segment));
    let parts = segments.flat_map(|segment| segment.parts(image.constant));
    let parts = parts.map(|(pages, rights)| (layout.loaded(pages), rights)).filter(|(_, rights)| *rights != READ_WRITE);
    let gate = (Region { start: layout.own(GATE), length: PAGE }, Rights::READ | Rights::EXECUTE);
    parts.chain([gate]).try_for_each(|(pages, rights)| protect(pages, rights))
}

/// Whether a segment has pages that are not mapped from the file, with their rights, and be done with it.
fn has_own(image: &Image, segment: &Segment) -> bool {
    let is_changed = image.relocations.within(segment.region).next().is_some();
    segment.rights.contains(Rights::WRITE) || segment.region.length > segment.file_size || is_changed
}

/// Pages that the guest reads from `address` on, and where they can be written.
fn show(address: u64) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let written = unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        libc::mmap(null_mut(), SHOWN.length as usize, protection(READ_WRITE), flags, -1, 0)
    };
    if written == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Of a shared mapping, an old size of 0 makes another one (mremap(2)).
    // SAFETY: takes the place of pages of our reservation, which nobody refers to yet.
    let read = unsafe {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        libc::mremap(written, 0, SHOWN.length as usize, flags, address as *mut libc::c_void)
    };
    if read == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    protect(Region { start: address, ..SHOWN }, Rights::READ)?;
    NonNull::new(written.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Reserves exactly these addresses, where nothing may be yet.
fn map_at(pages: Region) -> io::Result<()> {
    // SAFETY: it takes the place of no other mapping.
    let place = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        libc::mmap(pages.start as *mut libc::c_void, pages.length as usize, libc::PROT_NONE, flags, -1, 0)
    };
    match place {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        place if place as u64 == pages.start => Ok(()),
        place => {
            // A kernel older than the flag takes the address as a hint.
            // SAFETY: it was just made.
            unsafe { libc::munmap(place, pages.length as usize) };
            Err(io::Error::from_raw_os_error(libc::EEXIST))
        }
    }
}
