//! Comparing.

#![expect(unsafe_code, reason = "raw memory")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "all stand on the one promise of whoever calls")]

use crate::word::{Registers, load};

/// Returns a negative number, 0 or a positive one, by the first bytes that differ, taken as unsigned numbers.
///
/// # Safety
///
/// The caller guarantees what memcmp(3) requires.
#[inline(always)]
pub unsafe fn compare<R: Registers>(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller guarantees `length` readable bytes of both; each arm reads words of at most the arm's shortest length,
    // from both ends.
    unsafe {
        match length {
            0 => 0,
            1 => i32::from(load::<u8>(one)) - i32::from(load::<u8>(other)),
            2..=3 => ends(one, other, length, |word: u16| word.swap_bytes()),
            4..=7 => ends(one, other, length, |word: u32| word.swap_bytes()),
            8..=15 => ends(one, other, length, |word: u64| word.swap_bytes()),
            _ => R::compare(one, other, length),
        }
    }
}

/// Compares the first words, then the last ones; `number` makes a word's first byte the most significant.
#[inline(always)]
unsafe fn ends<W: Copy + Ord>(one: *const u8, other: *const u8, length: usize, number: fn(W) -> W) -> i32 {
    // SAFETY: the caller guarantees `length` readable bytes of both, and both offsets leave room for a word.
    let word = |block: *const u8, offset| number(unsafe { load(block.wrapping_add(offset)) });
    let last = length - size_of::<W>();
    let order = word(one, 0).cmp(&word(other, 0)).then_with(|| word(one, last).cmp(&word(other, last)));
    order as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::general::General;
    use crate::sse2::Sse2;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn the_first_difference_decides(
            length in 0usize..300,
            starts in (0usize..20, 0usize..20),
            changes in prop::collection::vec((0usize..300, any::<u8>()), 0..3),
        ) {
            let one: Vec<u8> = (0..length).map(|index| (index * 5 % 251) as u8).collect();
            let mut other = one.clone();
            for (place, byte) in changes {
                if let Some(slot) = other.get_mut(place) {
                    *slot = byte;
                }
            }
            let placed = |start: usize, bytes: &[u8]| [&vec![7; start], bytes, &[start as u8; 20]].concat();
            let (a, b) = (placed(starts.0, &one), placed(starts.1, &other));
            let (a, b) = (a.as_ptr().wrapping_add(starts.0), b.as_ptr().wrapping_add(starts.1));
            // SAFETY: both vectors hold `length` bytes from their starts on.
            let orders = unsafe { [compare::<Sse2>(a, b, length), compare::<General>(a, b, length)] };
            prop_assert_eq!(orders.map(|order| order.cmp(&0)), [one.cmp(&other); 2]);
        }
    }
}
