//! Shared state of the classes. It lies in a page of the heap and not in the program's own data: a program that needs only the
//! first small blocks ([`crate::starter`]) never touches it.

#![expect(unsafe_code, reason = "the table lies in raw memory")]

use crate::block::Chain;
use crate::class::COUNT;
use crate::pages::PAGE;
use crate::span::Span;
use core::ptr::NonNull;

/// Most batches of a class that wait for a thread.
const BATCHES: usize = 4;

/// Shared state of one class.
pub struct Class {
    /// Spans with free blocks.
    pub spans: Option<NonNull<Span>>,
    batches: [Chain; BATCHES],
    count: usize,
}

impl Class {
    const EMPTY: Self = Self { spans: None, batches: [const { Chain::EMPTY }; BATCHES], count: 0 };

    /// Takes a batch of blocks that a thread has left.
    pub fn batch(&mut self) -> Option<Chain> {
        self.count = self.count.checked_sub(1)?;
        Some(core::mem::replace(self.batches.get_mut(self.count)?, Chain::EMPTY))
    }

    /// Keeps a batch for other threads; returns it if it is too small, or if there is no room.
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

/// Table of all classes, once it has a page.
pub struct Classes(Option<NonNull<[Class; COUNT]>>);

const _: () = assert!(size_of::<[Class; COUNT]>() <= PAGE);

impl Classes {
    /// A table without a page.
    pub const EMPTY: Self = Self(None);

    /// Returns true if the table has no page yet.
    pub fn is_closed(&self) -> bool {
        self.0.is_none()
    }

    /// Puts the table into a page.
    ///
    /// # Safety
    ///
    /// The caller owns the page at `address`, and gives it up for good.
    pub unsafe fn open(&mut self, address: usize) {
        let Some(table) = NonNull::new(address as *mut [Class; COUNT]) else { return };
        // SAFETY: the caller gave up the page, and the assertion above says that it is long enough.
        unsafe { table.write([const { Class::EMPTY }; COUNT]) };
        self.0 = Some(table);
    }

    /// Returns a class; `None` if the number is too large, or there is no page.
    pub fn get(&mut self, class: usize) -> Option<&mut Class> {
        // SAFETY: `open` got the page for good and initialized it; the reference borrows `self`.
        unsafe { self.0?.as_mut() }.get_mut(class)
    }
}
