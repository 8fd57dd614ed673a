//! A span: pages of a region that are cut into blocks of one class, in ascending order and no sooner than needed.

#![expect(unsafe_code, reason = "blocks are raw memory")]

use crate::block::Chain;
use crate::class::{block, span_pages};
use crate::pages::PAGE;
use core::ptr::NonNull;

/// Offset of a large block in its first page: no small block has it, which distinguishes the two. At 8 to 24 bytes, processors of AMD
/// take ten times as long to copy a file's pages there (`rep movsb` to an address just above the source's, but for whole pages).
pub const OF_LARGE: usize = 32;

/// State of a span.
pub struct Span {
    /// Freed blocks.
    chain: Chain,
    /// Links of the list of spans with free blocks: the next one.
    pub next: Option<NonNull<Self>>,
    /// The previous one.
    pub previous: Option<NonNull<Self>>,
    /// Address of the first page.
    start: usize,
    class: u8,
    /// Number of blocks that have been cut.
    cut: u16,
    /// Most blocks.
    capacity: u16,
    /// Number of blocks in use.
    used: u16,
}

impl Span {
    /// Returns a span of pages from `start` on.
    pub fn new(start: usize, class: usize) -> Self {
        let mut capacity = span_pages(class) * PAGE / block(class);
        // The last block would have the offset of a large one; without it, an uncut part always contains a usable block.
        if (start + (capacity - 1) * block(class)) % PAGE == OF_LARGE {
            capacity -= 1;
        }
        let capacity = capacity as u16;
        Self { chain: Chain::EMPTY, next: None, previous: None, start, class: class as u8, cut: 0, capacity, used: 0 }
    }

    /// Returns the class of the span's blocks.
    pub fn class(&self) -> usize {
        self.class.into()
    }

    /// Returns true if all blocks are in use.
    pub fn is_full(&self) -> bool {
        self.cut == self.capacity && self.chain.count() == 0
    }

    /// Returns true if no block is in use.
    pub fn is_unused(&self) -> bool {
        self.used == 0
    }

    /// Takes up to `count` blocks, at least one if there is one.
    pub fn take(&mut self, count: usize) -> Chain {
        let mut taken = if self.chain.count() == 0 {
            self.cut(count)
        } else {
            let rest = self.chain.split(count);
            core::mem::replace(&mut self.chain, rest)
        };
        if taken.count() == 0 {
            taken = self.cut(1);
        }
        self.used += taken.count() as u16;
        taken
    }

    /// Takes a block back; false if no block is in use.
    ///
    /// # Safety
    ///
    /// `block` is one of this span, and used no more.
    pub unsafe fn give(&mut self, block: NonNull<u8>) -> bool {
        if self.used == 0 {
            return false;
        }
        self.used -= 1;
        // SAFETY: the caller gives up the block, which is a block of this span and so has room for a link.
        unsafe { self.chain.push(block) };
        true
    }

    /// Cuts up to `count` new blocks; the lowest will be used first.
    fn cut(&mut self, count: usize) -> Chain {
        let mut blocks = Chain::EMPTY;
        let end = self.capacity.min(self.cut.saturating_add(count as u16));
        for index in (self.cut..end).rev() {
            let address = self.start + usize::from(index) * block(self.class.into());
            if let Some(block) = NonNull::new(address as *mut u8).filter(|_| address % PAGE != OF_LARGE) {
                // SAFETY: the block lies in the span's pages, and has not been cut before.
                unsafe { blocks.push(block) };
            }
        }
        self.cut = end;
        blocks
    }
}
