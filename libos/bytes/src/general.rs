//! General registers alone, for code that leaves vector registers as they are.

#![expect(unsafe_code, reason = "raw memory")]

use crate::word::{Registers, load};

/// General registers.
#[derive(Debug)]
pub struct General;

type Vector = [u64; 2];

impl Registers for General {
    type Vector = Vector;
    type Row = [Vector; 2];
    const LONG: usize = 512;

    #[inline(always)]
    fn twice(word: u64) -> Vector {
        [word; 2]
    }

    #[inline(always)]
    fn row(vector: Vector) -> [Vector; 2] {
        [vector; 2]
    }

    #[inline(always)]
    unsafe fn compare(one: *const u8, other: *const u8, length: usize) -> i32 {
        // SAFETY: the caller guarantees `length` readable bytes of both, at least a word.
        unsafe { words(one, other, length) }
    }
}

/// Compares at least a word: one at a time, the last of which may overlap with the one before.
#[inline(never)]
unsafe fn words(one: *const u8, other: *const u8, length: usize) -> i32 {
    let last = length - size_of::<u64>();
    let mut offset = 0;
    loop {
        let place = if offset < last { offset } else { last };
        // SAFETY: `place` is at most `last`, which leaves 8 more bytes.
        let word = |block: *const u8| unsafe { load::<u64>(block.wrapping_add(place)) };
        let (a, b) = (word(one), word(other));
        if a != b {
            return a.swap_bytes().cmp(&b.swap_bytes()) as i32;
        }
        if place == last {
            return 0;
        }
        offset += size_of::<u64>();
    }
}
