//! What is shared of each class. It lies in a page of the heap and not in the program's own data: a program that does
//! with the first small blocks ([`crate::starter`]) never touches it.

#![expect(unsafe_code, reason = "the table lies in raw memory")]

use crate::block::Chain;
use crate::class::COUNT;
use crate::pages::PAGE;
use crate::span::Span;
use core::ptr::NonNull;

/// Batches of a class that may wait for a thread to take them.
const BATCHES: usize = 4;

/// What is shared of one class.
pub struct Class {
    /// Spans with free blocks.
    pub spans: Option<NonNull<Span>>,
    batches: [Chain; BATCHES],
    count: usize,
}

impl Class {
    const EMPTY: Self = Self { spans: None, batches: [const { Chain::EMPTY }; BATCHES], count: 0 };

    /// Blocks that a thread left for others.
    pub fn batch(&mut self) -> Option<Chain> {
        self.count = self.count.checked_sub(1)?;
        Some(core::mem::replace(self.batches.get_mut(self.count)?, Chain::EMPTY))
    }

    /// Keeps a batch for others; gives it back if it is not worth it, or if there is no room.
    pub fn keep(&mut self, blocks: Chain) -> Option<Chain> {
        match self.batches.get_mut(self.count) {
            Some(free) if blocks.count() > 1 => {
                *free = blocks;
                self.count += 1;
                None
            }
            _ => Some(blocks),
        }
    }
}

/// All classes, once they have a page.
pub struct Classes(Option<NonNull<[Class; COUNT]>>);

const _: () = assert!(size_of::<[Class; COUNT]>() <= PAGE);

impl Classes {
    /// There is no page yet.
    pub const EMPTY: Self = Self(None);

    /// Whether they have no page yet.
    pub fn is_closed(&self) -> bool {
        self.0.is_none()
    }

    /// Puts them into a page.
    ///
    /// # Safety
    ///
    /// The page at `address` is the caller's, who gives it up for good.
    pub unsafe fn open(&mut self, address: usize) {
        let Some(table) = NonNull::new(address as *mut [Class; COUNT]) else { return };
        // SAFETY: the caller gave us the page, which is long enough.
        unsafe { table.write([const { Class::EMPTY }; COUNT]) };
        self.0 = Some(table);
    }

    /// One of them; nothing if there is none of this number, or no page.
    pub fn get(&mut self, class: usize) -> Option<&mut Class> {
        // SAFETY: `open` was given the page for good, and the reference lives no longer than the one to us.
        unsafe { self.0?.as_mut() }.get_mut(class)
    }
}
