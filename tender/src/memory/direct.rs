//! Memory for a guest in this process: at its own addresses, and with the rights that it has there.
//!
//! One reservation that nobody can touch holds it all, from the gate to the end of the sparse region; parts of it become
//! accessible when they are loaded, attached or touched. So guards and gaps need no work.

#![expect(unsafe_code, reason = "mappings are made by address")]

use super::error::Error;
use super::host::protect;
use crate::image::{Image, Segment};
use crate::layout::Layout;
use husk_abi::memory::{BOOT, BOOT_SIZE, GATE, PAGE, Region, Rights};
use std::io;

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);
/// Guest-physical addresses of the pages that the guest reads and only the tender writes, up to what there is to know at
/// the start.
const SHOWN: Region = Region::between(GATE + PAGE, BOOT + BOOT_SIZE);

/// Everything that the guest may have.
pub fn extent(layout: &Layout) -> Region {
    Region::between(layout.own(GATE), layout.sparse.end().max(layout.image_file.end()).next_multiple_of(PAGE))
}

/// Reserves it and makes what the guest has from the start accessible: for writing, until it is sealed. Tells where
/// guest-physical address 0 would be.
pub fn reserve(layout: &Layout, image: &Image) -> Result<u64, Error> {
    let all = extent(layout);
    map_at(all).map_err(|error| match error.raw_os_error() {
        Some(libc::EEXIST | libc::EPERM | libc::EINVAL) => Error::AddressesTaken(all),
        _ => Error::NoMemory(error),
    })?;
    let heap = Region { length: layout.heap_attached(layout.attached_at_start()), ..layout.heap };
    let own = Region { start: layout.own(GATE), length: SHOWN.end() - GATE };
    let segments = image.segments.iter().filter(|segment| has_own(image, segment));
    let segments = segments.map(|segment| layout.loaded(segment.pages()));
    let parts = [own, layout.libos_stack].into_iter().chain(segments);
    let parts = parts.chain([layout.main_stack, layout.rings, heap]).filter(|part| part.length > 0);
    for part in joined(parts) {
        protect(part, READ_WRITE).map_err(Error::NoMemory)?;
    }
    Ok(layout.own)
}

/// The regions, in ascending order, with one for those that follow each other: each costs a call.
fn joined(regions: impl Iterator<Item = Region>) -> Vec<Region> {
    let mut all: Vec<Region> = vec![];
    for region in regions {
        match all.last_mut().filter(|last| last.end() == region.start) {
            Some(last) => last.length += region.length,
            None => all.push(region),
        }
    }
    all
}

/// Takes from the guest what it may not do with its image, which is as it is to be.
pub fn seal(layout: &Layout, image: &Image) -> io::Result<()> {
    let segments = image.segments.iter().filter(|segment| has_own(image, segment));
    let parts = segments.flat_map(|segment| segment.parts(image.constant));
    let mut parts = parts.map(|(pages, rights)| (layout.loaded(pages), rights));
    parts.try_for_each(|(pages, rights)| if rights == READ_WRITE { Ok(()) } else { protect(pages, rights) })
}

/// The same for the tender's pages.
pub fn seal_own(layout: &Layout) -> io::Result<()> {
    let own = |physical: Region| Region { start: layout.own(physical.start), ..physical };
    protect(own(Region { start: GATE, length: PAGE }), Rights::READ | Rights::EXECUTE)?;
    protect(own(SHOWN), Rights::READ)
}

/// Has the tender write one of its pages that the guest, which does not run now, only reads. It stays as it is if the host
/// has no memory for that.
pub fn rewrite(layout: &Layout, physical: u64, write: impl FnOnce()) {
    let page = Region { start: layout.own(physical), length: PAGE };
    if protect(page, READ_WRITE).is_ok() {
        write();
        // Cannot fail where there is room: it undoes the call before.
        let _ = protect(page, Rights::READ);
    }
}

/// Whether a segment has pages that are not mapped from the file, with their rights, and be done with it.
fn has_own(image: &Image, segment: &Segment) -> bool {
    let is_changed = image.relocations.within(segment.region).next().is_some();
    segment.rights.contains(Rights::WRITE) || segment.region.length > segment.file_size || is_changed
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
