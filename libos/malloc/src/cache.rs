//! Free blocks that belong to one thread.
//!
//! A class starts with a low limit, which doubles each time that the cache runs empty or full, so that a thread which allocates
//! little holds little, and touches little.

use crate::block::Chain;
use crate::class::{COUNT, keep};
use core::ptr::NonNull;

/// Free blocks of each class.
pub struct Cache {
    chains: [Chain; COUNT],
    limits: [u16; COUNT],
}

/// Initial limit of blocks per class.
const FIRST_LIMIT: usize = 4;

impl Cache {
    /// An empty cache.
    pub const EMPTY: Self = Self { chains: [const { Chain::EMPTY }; COUNT], limits: [0; COUNT] };

    /// Takes a block; `None` if the cache has none, or the class does not exist.
    #[inline(always)]
    pub fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        self.chains.get_mut(class)?.pop()
    }

    /// Returns the blocks of a class, and its limit.
    #[inline(always)]
    pub fn class(&mut self, class: usize) -> Option<(&mut Chain, usize)> {
        let limit = *self.limits.get(class)?;
        Some((self.chains.get_mut(class)?, limit.into()))
    }

    /// Raises the limit of a class. Returns the number of blocks to fill it with.
    pub fn grow(&mut self, class: usize) -> usize {
        let Some(limit) = self.limits.get_mut(class) else { return 1 };
        let most = keep(class);
        *limit = (usize::from(*limit) * 2).clamp(FIRST_LIMIT.min(most), most) as u16;
        usize::from(*limit).div_ceil(2)
    }

    /// Fills an empty class. Returns one of the blocks.
    pub fn fill(&mut self, class: usize, blocks: Chain) -> Option<NonNull<u8>> {
        let chain = self.chains.get_mut(class)?;
        *chain = blocks;
        chain.pop()
    }
}
