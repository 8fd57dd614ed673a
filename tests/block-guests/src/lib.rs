//! What guests with a disk share.

#![no_std]

use husk::boot;

/// A program argument.
pub fn argument(index: usize) -> &'static str {
    boot::arguments().nth(index).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Numbers that look random, the same for the same seed (xorshift64).
#[derive(Clone, Copy, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}
