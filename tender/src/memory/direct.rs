//! Memory for a guest in this process: at the guest's own addresses, with the guest's rights.
//!
//! One PROT_NONE reservation holds all of it, from the gate to the end of the image file; parts become accessible when they are
//! loaded or attached. So guards and gaps need no work. The sparse region is not reserved: see [`super::sparse`].

use super::error::Error;
use super::host::{advise, map_at, protect};
use crate::image::{Image, Segment};
use crate::memory::layout::Layout;
use husk_abi::memory::{BOOT, BOOT_SIZE, GATE, LARGE_PAGE, PAGE, Region, Rights};
use std::io;

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);
/// Guest-physical addresses of the pages that only the tender writes and the guest reads, up to and including the boot
/// information.
const SHOWN: Region = Region::between(GATE + PAGE, BOOT + BOOT_SIZE);

/// Addresses that the guest has from the start.
pub fn extent(layout: &Layout) -> Region {
    let end = layout.guest_ram.end().max(layout.image_file.end());
    Region::between(layout.tender_address(GATE), end.next_multiple_of(PAGE))
}

/// Reserves all addresses and makes the guest's initial memory accessible, writable until it is sealed. Returns the host
/// address that guest-physical address 0 would have.
pub fn reserve(layout: &Layout, image: &Image) -> Result<u64, Error> {
    let all = extent(layout);
    map_at(all, Rights::empty()).map_err(|error| match error.raw_os_error() {
        Some(libc::EEXIST | libc::EPERM | libc::EINVAL) => Error::AddressesTaken(all),
        _ => Error::NoMemory(error),
    })?;
    // Where the host always makes huge pages, one for the top of the stack or the first of the heap would make a small guest twice
    // as large. A kernel without huge pages refuses, and makes none.
    let small_end = (layout.heap.start + LARGE_PAGE).next_multiple_of(LARGE_PAGE).min(layout.heap.end());
    let _ = advise(Region::between(layout.main_stack.start, small_end), libc::MADV_NOHUGEPAGE);
    let heap = Region { length: layout.heap_attached(layout.attached_at_start()), ..layout.heap };
    let own = Region { start: layout.tender_address(GATE), length: SHOWN.end() - GATE };
    let segments = image.segments.iter().filter(|segment| has_own(image, segment));
    let segments = segments.map(|segment| layout.loaded(segment.pages()));
    let parts = [own, layout.libos_stack].into_iter().chain(segments);
    let parts = parts.chain([layout.main_stack, layout.rings, heap]).filter(|part| part.length > 0);
    for part in joined(parts) {
        protect(part, READ_WRITE).map_err(Error::NoMemory)?;
    }
    Ok(layout.own)
}

/// Merges adjacent regions, which are in ascending order, because each region costs a system call.
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

/// Takes from the guest the rights that it must not have to its image, once the image is complete.
pub fn seal(layout: &Layout, image: &Image) -> io::Result<()> {
    let segments = image.segments.iter().filter(|segment| has_own(image, segment));
    let parts = segments.flat_map(|segment| segment.parts(image.constant));
    let mut parts = parts.map(|(pages, rights)| (layout.loaded(pages), rights));
    parts.try_for_each(|(pages, rights)| if rights == READ_WRITE { Ok(()) } else { protect(pages, rights) })
}

/// Takes from the guest the rights that it must not have to the tender's pages.
pub fn seal_tender_pages(layout: &Layout) -> io::Result<()> {
    let own = |physical: Region| Region { start: layout.tender_address(physical.start), ..physical };
    protect(own(Region { start: GATE, length: PAGE }), Rights::READ | Rights::EXECUTE)?;
    protect(own(SHOWN), Rights::READ)
}

/// Has the tender write one of its pages that the guest only reads; the guest does not run now. The page stays as it is if the
/// host has no memory for the change.
pub fn rewrite(layout: &Layout, physical: u64, write: impl FnOnce()) {
    let page = Region { start: layout.tender_address(physical), length: PAGE };
    if protect(page, READ_WRITE).is_ok() {
        write();
        // Cannot fail for lack of memory, because it undoes the call before.
        let _ = protect(page, Rights::READ);
    }
}

/// Returns true if a segment has pages that cannot be mapped from the file with their final rights.
fn has_own(image: &Image, segment: &Segment) -> bool {
    let is_changed = image.relocations.within(segment.region).next().is_some();
    segment.rights.contains(Rights::WRITE) || segment.region.length > segment.file_size || is_changed
}
