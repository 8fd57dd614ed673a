//! Free blocks, strung together through their first words.

#![expect(unsafe_code, reason = "links lie in the blocks themselves")]

use core::ptr::NonNull;

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Link(Option<NonNull<Link>>);

/// Free blocks, the last one first.
pub struct Chain {
    head: Option<NonNull<Link>>,
    count: usize,
}

impl Chain {
    /// No block.
    pub const EMPTY: Self = Self { head: None, count: 0 };

    /// How many blocks there are.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether `block` came last.
    #[inline(always)]
    pub fn starts_with(&self, block: NonNull<u8>) -> bool {
        self.head == Some(block.cast())
    }

    /// Adds a block.
    ///
    /// # Safety
    ///
    /// It is at least a word long, aligned to one, and nobody else's.
    #[inline(always)]
    pub unsafe fn push(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Link>();
        // SAFETY: the caller says that it may be written.
        unsafe { block.write(Link(self.head)) };
        self.head = Some(block);
        self.count += 1;
    }

    /// Takes the last block.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<NonNull<u8>> {
        let first = self.head?;
        // SAFETY: `push` wrote a link there, and nobody else had the block since.
        self.head = unsafe { first.read() }.0;
        self.count -= 1;
        Some(first.cast())
    }

    /// Keeps the last `count` blocks, and gives away the others.
    pub fn split(&mut self, count: usize) -> Self {
        if count == 0 {
            return core::mem::replace(self, Self::EMPTY);
        }
        let Some(mut last) = self.head else { return Self::EMPTY };
        for _ in 1..count {
            // SAFETY: as in `pop`.
            let Link(Some(next)) = (unsafe { last.read() }) else { return Self::EMPTY };
            last = next;
        }
        // SAFETY: as in `pop`.
        let Link(head) = unsafe { last.read() };
        // SAFETY: the blocks are ours.
        unsafe { last.write(Link(None)) };
        let rest = Self { head, count: self.count.saturating_sub(count) };
        self.count -= rest.count;
        rest
    }
}
