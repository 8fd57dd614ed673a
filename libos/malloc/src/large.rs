//! Large blocks: mappings of their own.
//!
//! A block lies [`OF_LARGE`] bytes into its mapping, an offset in the page that no small block has; or at a multiple of [`REGION`], where
//! no other block lies at all, a page into its mapping. The 16 bytes before the block hold the length of the mapping, and the
//! part of it that was asked for. A few freed mappings are kept as spares, also for shorter blocks, because a spare saves the
//! page faults of a new mapping. A block that grows gets the longest spare, in which it can continue to grow without a copy.

#![expect(unsafe_code, reason = "headers lie before the blocks")]

use crate::pages::{PAGE, Pages, map_aligned};
use crate::region::REGION;
use crate::span::OF_LARGE;
use core::ptr::NonNull;

/// Seal of a header, XORed with the block's address.
const SEAL: usize = 0x6b73_7548_1a26_eb1c;
/// Longest mapping, in bytes: beyond any address space.
const LONGEST: usize = PAGE * u32::MAX as usize;
/// Most spare mappings.
const SPARES: usize = 16;
/// Initial limit of bytes in all spares. A longer mapping is unmapped at once, with its memory.
const SPARE_BYTES: usize = 8 << 20;
/// Upper bound of that limit. The limit grows to the longest mapping that was freed, because a program that made one of that
/// length is likely to make another. Longer mappings do not count.
const MOST_SPARE_BYTES: usize = 32 << 20;

/// The mapping of a large block.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    start: usize,
    length: usize,
    /// Offset of the block in the mapping.
    offset: usize,
    /// Bytes of the mapping that the block needs, in whole pages.
    needed: usize,
}

/// Header before a large block. Lengths are in pages.
#[repr(C)]
struct Header {
    seal: usize,
    length: u32,
    needed: u32,
}

const _: () = assert!(size_of::<Header>() <= OF_LARGE);

impl Mapping {
    /// Maps memory for a block.
    pub fn new(pages: &impl Pages, size: usize) -> Option<Self> {
        let length = length(size)?;
        Some(Self { start: pages.map(length)?, length, offset: OF_LARGE, needed: length })
    }

    /// Maps memory for a block with the alignment of regions or a larger power of two.
    pub fn aligned(pages: &impl Pages, size: usize, align: usize) -> Option<Self> {
        let length = size.checked_next_multiple_of(PAGE)?.checked_add(PAGE).filter(|length| *length <= LONGEST)?;
        Some(Self { start: map_aligned(pages, length, PAGE, align)?, length, offset: PAGE, needed: length })
    }

    /// Returns the mapping of a block; `None` if the block has no valid header.
    ///
    /// # Safety
    ///
    /// The bytes before the block in its page can be read; if the block starts a region, so can the page before.
    pub unsafe fn of(block: NonNull<u8>) -> Option<Self> {
        let address = block.as_ptr() as usize;
        let header = (address - size_of::<Header>()) as *const Header;
        // SAFETY: the caller guarantees that the bytes before the block can be read, and the header is as aligned as the block.
        let Header { seal, length, needed } = unsafe { header.read() };
        let offset = if address.is_multiple_of(REGION) { PAGE } else { OF_LARGE };
        let bytes = |pages| pages as usize * PAGE;
        let mapping = || Self { start: address - offset, length: bytes(length), offset, needed: bytes(needed) };
        (seal == address ^ SEAL).then(mapping)
    }

    /// Writes the header. Returns the block's address.
    ///
    /// # Safety
    ///
    /// The caller owns the mapping.
    pub unsafe fn block(self) -> Option<NonNull<u8>> {
        let address = self.start + self.offset;
        let header = (address - size_of::<Header>()) as *mut Header;
        let pages = |bytes| (bytes / PAGE) as u32;
        let content = Header { seal: address ^ SEAL, length: pages(self.length), needed: pages(self.needed) };
        // SAFETY: the caller owns the mapping, and `offset` leaves room for the header before the block.
        unsafe { header.write(content) };
        NonNull::new(address as *mut u8)
    }

    /// Returns the bytes in the block.
    pub fn usable(self) -> usize {
        self.length - self.offset
    }

    /// Makes room for a block of another size: the mapping may move (mremap). It is cut if the block shrinks.
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

    /// Returns the bytes that the block needs, header included.
    pub fn needed(self) -> usize {
        self.needed
    }

    /// Returns the bytes that the block does not need.
    fn loose(self) -> usize {
        self.length - self.needed
    }

    /// Unmaps the mapping, after discarding its memory if that is much.
    pub fn unmap(self, pages: &impl Pages) {
        if self.length > SPARE_BYTES {
            pages.discard(self.start, self.length);
        }
        pages.unmap(self.start, self.length);
    }
}

/// Returns the bytes in the mapping of a block.
fn length(size: usize) -> Option<usize> {
    size.checked_add(OF_LARGE)?.checked_next_multiple_of(PAGE).filter(|length| *length <= LONGEST)
}

/// Freed mappings that are kept for reuse.
pub struct Spares {
    mappings: [Option<Mapping>; SPARES],
    bytes: usize,
    /// Bytes of mappings in use that their blocks do not need.
    loose: usize,
    /// Limit of bytes of either kind.
    limit: usize,
}

impl Spares {
    /// No spares.
    pub const EMPTY: Self = Self { mappings: [None; SPARES], bytes: 0, loose: 0, limit: SPARE_BYTES };

    /// Takes the shortest spare with room for a block of `size` bytes; its contents are arbitrary.
    pub fn take(&mut self, size: usize) -> Option<Mapping> {
        self.take_first(size, |mapping| mapping.length)
    }

    /// Takes the longest spare, for a block that has grown to `size` bytes.
    pub fn take_growing(&mut self, size: usize) -> Option<Mapping> {
        self.take_first(size, |mapping| usize::MAX - mapping.length)
    }

    /// Takes the first spare in this order that has room for a block, and not too much of it.
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

    /// Records that a block needs another part of its mapping than before, or has another mapping.
    pub fn resized(&mut self, old: Mapping, new: Mapping) {
        self.loose = self.loose - old.loose() + new.loose();
    }

    /// Keeps the mapping of a freed block as a spare, in place of others if necessary; or unmaps it.
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
        // The newest spare comes first; all others move back by one.
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

    /// Unmaps all spares.
    pub fn empty(&mut self, pages: &impl Pages) {
        self.bytes = 0;
        self.mappings.iter_mut().filter_map(Option::take).for_each(|mapping| mapping.unmap(pages));
    }
}
