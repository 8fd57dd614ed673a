//! Large blocks: mappings of their own.
//!
//! A block lies 16 bytes into its mapping, where no small one lies in a page; or at a multiple of [`REGION`], where no
//! other block lies at all, a page into its mapping. The 16 bytes before it tell how long the mapping is, and how much of it
//! was asked for. A few mappings that are given up wait to be used again, for blocks that may be shorter: others are
//! spared the page faults of a new one. A block that grows gets the longest of them, where it can go on growing without
//! being copied.

#![expect(unsafe_code, reason = "headers lie before the blocks")]

use crate::pages::{PAGE, Pages, map_aligned};
use crate::region::REGION;
use crate::span::OF_LARGE;
use core::ptr::NonNull;

/// Combined with a block's address this marks its header.
const SEAL: usize = 0x6b73_7548_1a26_eb1c;
/// The longest mapping, in bytes: no address space has as much.
const LONGEST: usize = PAGE * u32::MAX as usize;
/// Mappings that may wait.
const SPARES: usize = 16;
/// Bytes that they may have, all together, at first. A longer one is given back at once, with its memory.
const SPARE_BYTES: usize = 8 << 20;
/// What these bytes may become: as many as the longest mapping has that was given back, for a program that made one so
/// long is likely to make another. Longer ones do not count.
const MOST_SPARE_BYTES: usize = 32 << 20;

/// The mapping of a large block.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    start: usize,
    length: usize,
    /// Where the block starts.
    offset: usize,
    /// Bytes of the mapping that are needed, in whole pages.
    needed: usize,
}

/// Lengths are in pages.
#[repr(C)]
struct Header {
    seal: usize,
    length: u32,
    needed: u32,
}

const _: () = assert!(size_of::<Header>() == OF_LARGE);

impl Mapping {
    /// Maps room for a block.
    pub fn new(pages: &impl Pages, size: usize) -> Option<Self> {
        let length = length(size)?;
        Some(Self { start: pages.map(length)?, length, offset: OF_LARGE, needed: length })
    }

    /// The same for a block whose alignment is that of regions or a larger power of two.
    pub fn aligned(pages: &impl Pages, size: usize, align: usize) -> Option<Self> {
        let length = size.checked_next_multiple_of(PAGE)?.checked_add(PAGE).filter(|length| *length <= LONGEST)?;
        Some(Self { start: map_aligned(pages, length, PAGE, align)?, length, offset: PAGE, needed: length })
    }

    /// The mapping of a block; nothing if that has none.
    ///
    /// # Safety
    ///
    /// What lies before the block in its page can be read; if it starts a region, so can the page before.
    pub unsafe fn of(block: NonNull<u8>) -> Option<Self> {
        let address = block.as_ptr() as usize;
        let header = (address - size_of::<Header>()) as *const Header;
        // SAFETY: the caller says so; the block is aligned.
        let Header { seal, length, needed } = unsafe { header.read() };
        let offset = if address.is_multiple_of(REGION) { PAGE } else { OF_LARGE };
        let bytes = |pages| pages as usize * PAGE;
        let mapping = || Self { start: address - offset, length: bytes(length), offset, needed: bytes(needed) };
        (seal == address ^ SEAL).then(mapping)
    }

    /// Writes the header, and tells where the block is.
    ///
    /// # Safety
    ///
    /// The mapping is the caller's.
    pub unsafe fn block(self) -> Option<NonNull<u8>> {
        let address = self.start + self.offset;
        let header = (address - size_of::<Header>()) as *mut Header;
        let pages = |bytes| (bytes / PAGE) as u32;
        let content = Header { seal: address ^ SEAL, length: pages(self.length), needed: pages(self.needed) };
        // SAFETY: the caller says so; there is room for it before the block.
        unsafe { header.write(content) };
        NonNull::new(address as *mut u8)
    }

    /// Bytes in the block.
    pub fn usable(self) -> usize {
        self.length - self.offset
    }

    /// Makes room for a block of another size: the mapping may move. It is cut if the block shrinks.
    pub fn resize(self, pages: &impl Pages, size: usize) -> Option<Self> {
        let needed = length(size).filter(|_| self.offset == OF_LARGE)?;
        if (self.needed..=self.length).contains(&needed) {
            return Some(Self { needed, ..self });
        }
        if needed < self.length {
            pages.unmap(self.start + needed, self.length - needed);
            return Some(Self { length: needed, needed, ..self });
        }
        Some(Self { start: pages.resize(self.start, self.length, needed)?, length: needed, needed, ..self })
    }

    /// Bytes that the block needs, with what lies before it.
    pub fn needed(self) -> usize {
        self.needed
    }

    /// Bytes that the block does not need.
    fn loose(self) -> usize {
        self.length - self.needed
    }

    /// Gives it up, and its memory if that is much.
    pub fn unmap(self, pages: &impl Pages) {
        if self.length > SPARE_BYTES {
            pages.discard(self.start, self.length);
        }
        pages.unmap(self.start, self.length);
    }
}

/// Bytes in the mapping of a block.
fn length(size: usize) -> Option<usize> {
    size.checked_add(OF_LARGE)?.checked_next_multiple_of(PAGE).filter(|length| *length <= LONGEST)
}

/// Mappings that wait to be used again.
pub struct Spares {
    mappings: [Option<Mapping>; SPARES],
    bytes: usize,
    /// Bytes of mappings in use that their blocks do not need.
    loose: usize,
    /// How many bytes there may be, of either kind.
    limit: usize,
}

impl Spares {
    /// None.
    pub const EMPTY: Self = Self { mappings: [None; SPARES], bytes: 0, loose: 0, limit: SPARE_BYTES };

    /// The shortest with room for a block of `size` bytes, which may hold anything.
    pub fn take(&mut self, size: usize) -> Option<Mapping> {
        self.take_first(size, |mapping| mapping.length)
    }

    /// The longest, for a block that has grown to `size` bytes.
    pub fn take_growing(&mut self, size: usize) -> Option<Mapping> {
        self.take_first(size, |mapping| usize::MAX - mapping.length)
    }

    /// The first in this order that has room for a block, and not too much of it.
    fn take_first(&mut self, size: usize, order: impl Fn(&Mapping) -> usize) -> Option<Mapping> {
        let needed = length(size)?;
        let room = needed..=needed + self.limit.saturating_sub(self.loose);
        let fits = |slot: &&mut Option<Mapping>| slot.is_some_and(|mapping| room.contains(&mapping.length));
        let fitting = self.mappings.iter_mut().filter(fits);
        let found = fitting.min_by_key(|slot| slot.as_ref().map(&order))?.take()?;
        self.bytes -= found.length;
        let taken = Mapping { needed, ..found };
        self.loose += taken.loose();
        Some(taken)
    }

    /// A block needs another part of its mapping than before, or has another mapping.
    pub fn resized(&mut self, old: Mapping, new: Mapping) {
        self.loose = self.loose - old.loose() + new.loose();
    }

    /// Keeps the mapping of a block that is no more, in place of others if it must; or gives it up.
    pub fn put(&mut self, pages: &impl Pages, mapping: Mapping) {
        self.loose -= mapping.loose();
        if mapping.length > self.limit || mapping.offset != OF_LARGE {
            if mapping.length <= MOST_SPARE_BYTES {
                self.limit = self.limit.max(mapping.length);
            }
            return mapping.unmap(pages);
        }
        self.bytes += mapping.length;
        let mut kept = Some(mapping);
        // The newest is the first; all others move on by one.
        for slot in &mut self.mappings {
            core::mem::swap(slot, &mut kept);
            if kept.is_none() {
                break;
            }
        }
        if let Some(oldest) = kept {
            self.give_up(pages, oldest);
        }
        for index in (0..SPARES).rev() {
            if self.bytes > self.limit
                && let Some(oldest) = self.mappings[index].take()
            {
                self.give_up(pages, oldest);
            }
        }
    }

    fn give_up(&mut self, pages: &impl Pages, mapping: Mapping) {
        self.bytes -= mapping.length;
        mapping.unmap(pages);
    }

    /// Gives up all.
    pub fn empty(&mut self, pages: &impl Pages) {
        self.bytes = 0;
        self.mappings.iter_mut().filter_map(Option::take).for_each(|mapping| mapping.unmap(pages));
    }
}
