//! A span: pages of a region that are cut into blocks of one class, from the first on and no sooner than needed.

#![expect(unsafe_code, reason = "blocks are raw memory")]

use crate::block::Chain;
use crate::class::{block, span_pages};
use crate::pages::PAGE;
use core::ptr::NonNull;

/// Where a large block starts in its first page: no small block lies there, which tells them apart.
pub const OF_LARGE: usize = 16;

/// What is known of a span.
pub struct Span {
    /// Blocks that were given back.
    chain: Chain,
    /// Links of the list of spans with free blocks.
    pub next: Option<NonNull<Self>>,
    /// See `next`.
    pub previous: Option<NonNull<Self>>,
    /// Where the pages start.
    start: usize,
    class: u8,
    /// How many blocks have been cut.
    cut: u16,
    /// How many blocks there can be.
    capacity: u16,
    /// How many blocks are in use.
    used: u16,
}

impl Span {
    /// A span of pages that start at `start`.
    pub fn new(start: usize, class: usize) -> Self {
        let mut capacity = span_pages(class) * PAGE / block(class);
        // So that what is not cut yet has a block in it.
        if (start + (capacity - 1) * block(class)) % PAGE == OF_LARGE {
            capacity -= 1;
        }
        let capacity = capacity as u16;
        Self { chain: Chain::EMPTY, next: None, previous: None, start, class: class as u8, cut: 0, capacity, used: 0 }
    }

    /// The class of its blocks.
    pub fn class(&self) -> usize {
        self.class.into()
    }

    /// Whether all blocks are in use.
    pub fn is_full(&self) -> bool {
        self.cut == self.capacity && self.chain.count() == 0
    }

    /// Whether no block is in use.
    pub fn is_unused(&self) -> bool {
        self.used == 0
    }

    /// Takes up to `count` blocks, and at least one if there is one.
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

    /// Takes a block back; false if none is out.
    ///
    /// # Safety
    ///
    /// It is one of this span.
    pub unsafe fn give(&mut self, block: NonNull<u8>) -> bool {
        if self.used == 0 {
            return false;
        }
        self.used -= 1;
        // SAFETY: the caller gives up the block.
        unsafe { self.chain.push(block) };
        true
    }

    /// Cuts up to `count` new blocks, the first of which will be used first.
    fn cut(&mut self, count: usize) -> Chain {
        let mut blocks = Chain::EMPTY;
        let end = self.capacity.min(self.cut.saturating_add(count as u16));
        for index in (self.cut..end).rev() {
            let address = self.start + usize::from(index) * block(self.class.into());
            if let Some(block) = NonNull::new(address as *mut u8).filter(|_| address % PAGE != OF_LARGE) {
                // SAFETY: the block is ours, and has not been cut before.
                unsafe { blocks.push(block) };
            }
        }
        self.cut = end;
        blocks
    }
}
