//! The first small blocks of any size, side by side: a program that allocates little touches one page for them, instead of one
//! for each class. Each block has its size before it. The blocks are never reused.

#![expect(unsafe_code, reason = "sizes lie before the blocks")]

use crate::class::STEP;
use core::ptr::NonNull;

/// Largest block of the starter.
const LARGEST: usize = 1024;
const WORD: usize = size_of::<usize>();

/// Range of unused bytes.
pub struct Starter {
    next: usize,
    end: usize,
}

impl Starter {
    /// An empty range.
    pub const EMPTY: Self = Self { next: 0, end: 0 };

    /// Returns a starter over these bytes.
    ///
    /// # Safety
    ///
    /// The bytes are writable and the caller's alone.
    pub unsafe fn new(start: usize, end: usize) -> Self {
        Self { next: (start + WORD).next_multiple_of(STEP) - WORD, end }
    }

    /// Takes a block of at least `size` bytes.
    pub fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        let size = (size.max(1) + WORD).next_multiple_of(STEP) - WORD;
        if size > LARGEST + WORD || self.end - self.next < WORD + size {
            return None;
        }
        let header = self.next as *mut usize;
        // SAFETY: the caller of `new` gave these bytes away; `next` is aligned to a word, and the check above left room.
        unsafe { header.write(size) };
        let block = self.next + WORD;
        self.next = block + size;
        NonNull::new(block as *mut u8)
    }
}

/// Returns the size of a block of the starter.
///
/// # Safety
///
/// `block` came from [`Starter::take`].
pub unsafe fn size(block: NonNull<u8>) -> usize {
    let header = block.cast::<usize>().as_ptr().wrapping_sub(1);
    // SAFETY: the caller guarantees that `take` returned the block, so `take` wrote its size there.
    unsafe { header.read() }
}
