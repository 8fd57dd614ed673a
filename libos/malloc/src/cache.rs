//! Free blocks that a thread has to itself.
//!
//! A class starts with few and may keep twice as many each time that they do not suffice, so that a thread which
//! allocates little holds little, and touches little.

use crate::block::Chain;
use crate::class::{COUNT, keep};
use core::ptr::NonNull;

/// Free blocks of each class.
pub struct Cache {
    chains: [Chain; COUNT],
    limits: [u16; COUNT],
}

/// How many blocks a class may keep at first.
const FIRST_LIMIT: usize = 4;

impl Cache {
    /// A cache with nothing in it.
    pub const EMPTY: Self = Self { chains: [const { Chain::EMPTY }; COUNT], limits: [0; COUNT] };

    /// Takes a block; nothing if there is none, or no such class.
    #[inline(always)]
    pub fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        self.chains.get_mut(class)?.pop()
    }

    /// The blocks of a class, and how many it may keep.
    #[inline(always)]
    pub fn class(&mut self, class: usize) -> Option<(&mut Chain, usize)> {
        let limit = *self.limits.get(class)?;
        Some((self.chains.get_mut(class)?, limit.into()))
    }

    /// Lets a class keep more from now on; how many it should be filled with.
    pub fn grow(&mut self, class: usize) -> usize {
        let Some(limit) = self.limits.get_mut(class) else { return 1 };
        let most = keep(class);
        *limit = (usize::from(*limit) * 2).clamp(FIRST_LIMIT.min(most), most) as u16;
        usize::from(*limit).div_ceil(2)
    }

    /// Fills a class that is empty; gives back one block of them.
    pub fn fill(&mut self, class: usize, blocks: Chain) -> Option<NonNull<u8>> {
        let chain = self.chains.get_mut(class)?;
        *chain = blocks;
        chain.pop()
    }
}
