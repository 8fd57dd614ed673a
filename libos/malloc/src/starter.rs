//! The first small blocks, whatever their sizes, side by side: a program that allocates little touches one page for
//! them, and not one for each class. Each has its size before it. They are not used again.

#![expect(unsafe_code, reason = "sizes lie before the blocks")]

use crate::class::STEP;
use core::ptr::NonNull;

/// Largest block from here.
const LARGEST: usize = 1024;
const WORD: usize = size_of::<usize>();

/// What is left.
pub struct Starter {
    next: usize,
    end: usize,
}

impl Starter {
    /// Nothing is left.
    pub const EMPTY: Self = Self { next: 0, end: 0 };

    /// Hands out these bytes.
    ///
    /// # Safety
    ///
    /// They are writable and nobody else's.
    pub unsafe fn new(start: usize, end: usize) -> Self {
        Self { next: (start + WORD).next_multiple_of(STEP) - WORD, end }
    }

    /// A block of at least `size` bytes.
    pub fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        let size = (size.max(1) + WORD).next_multiple_of(STEP) - WORD;
        if size > LARGEST + WORD || self.end - self.next < WORD + size {
            return None;
        }
        let header = self.next as *mut usize;
        // SAFETY: `new` was told that these bytes are ours; `next` is aligned to a word.
        unsafe { header.write(size) };
        let block = self.next + WORD;
        self.next = block + size;
        NonNull::new(block as *mut u8)
    }
}

/// The size of a block that came from here.
///
/// # Safety
///
/// It did.
pub unsafe fn size(block: NonNull<u8>) -> usize {
    let header = block.cast::<usize>().as_ptr().wrapping_sub(1);
    // SAFETY: `take` wrote it there.
    unsafe { header.read() }
}
