//! Free blocks, linked through their first words.

#![expect(unsafe_code, reason = "links lie in the blocks themselves")]

use core::ptr::NonNull;

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Link(Option<NonNull<Link>>);

/// A stack of free blocks, the last one on top.
pub struct Chain {
    head: Option<NonNull<Link>>,
    count: usize,
}

impl Chain {
    /// An empty chain.
    pub const EMPTY: Self = Self { head: None, count: 0 };

    /// Returns the number of blocks.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns true if `block` was pushed last.
    #[inline(always)]
    pub fn starts_with(&self, block: NonNull<u8>) -> bool {
        self.head == Some(block.cast())
    }

    /// Adds a block.
    ///
    /// # Safety
    ///
    /// `block` is at least a word long, aligned to one, and the caller's alone.
    #[inline(always)]
    pub unsafe fn push(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Link>();
        // SAFETY: the caller guarantees that the block is its own, aligned, and at least a word long.
        unsafe { block.write(Link(self.head)) };
        self.head = Some(block);
        self.count += 1;
    }

    /// Takes the last block.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<NonNull<u8>> {
        let first = self.head?;
        // SAFETY: `push` wrote a link there, and the chain has owned the block since.
        self.head = unsafe { first.read() }.0;
        self.count -= 1;
        Some(first.cast())
    }

    /// Keeps the last `count` blocks, and returns the others.
    pub fn split(&mut self, count: usize) -> Self {
        if count == 0 {
            return core::mem::replace(self, Self::EMPTY);
        }
        let Some(mut last) = self.head else { return Self::EMPTY };
        for _ in 1..count {
            // SAFETY: `push` wrote a link there, and the chain has owned the block since.
            let Link(Some(next)) = (unsafe { last.read() }) else { return Self::EMPTY };
            last = next;
        }
        // SAFETY: `push` wrote a link there, and the chain has owned the block since.
        let Link(head) = unsafe { last.read() };
        // SAFETY: the chain owns its blocks, and each has room for a link.
        unsafe { last.write(Link(None)) };
        let rest = Self { head, count: self.count.saturating_sub(count) };
        self.count -= rest.count;
        rest
    }
}
