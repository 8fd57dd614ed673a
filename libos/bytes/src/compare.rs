//! Comparing.

#![expect(unsafe_code, reason = "raw memory")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "all stand on the one promise of whoever calls")]

use crate::word::{STEP, VECTOR, Vector, and, equal, load, mask};

/// Mask with a bit for each byte of a vector.
const ALL: u32 = (1 << VECTOR) - 1;

/// Returns all bits of the bytes that are equal in two vectors at `offset`.
#[inline(always)]
unsafe fn same(one: *const u8, other: *const u8, offset: usize) -> Vector {
    // SAFETY: the caller guarantees a vector at `offset` of both.
    let vector = |block: *const u8| unsafe { load(block.wrapping_add(offset)) };
    equal(vector(one), vector(other))
}

/// Returns a negative number, 0 or a positive one, by the first bytes that differ, taken as unsigned numbers.
///
/// # Safety
///
/// The caller guarantees what memcmp(3) requires.
#[inline(always)]
pub unsafe fn compare(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller guarantees `length` readable bytes of both; each arm reads words of at most the arm's shortest length,
    // from both ends.
    unsafe {
        match length {
            0 => 0,
            1 => i32::from(load::<u8>(one)) - i32::from(load::<u8>(other)),
            2..=3 => ends(one, other, length, |word: u16| word.swap_bytes()),
            4..=7 => ends(one, other, length, |word: u32| word.swap_bytes()),
            8..=15 => ends(one, other, length, |word: u64| word.swap_bytes()),
            _ => vectors(one, other, length),
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

/// Compares at least [`VECTOR`] bytes: four vectors at a time while they are equal, then one at a time; the last may overlap
/// with bytes that were compared before.
#[inline(never)]
unsafe fn vectors(one: *const u8, other: *const u8, length: usize) -> i32 {
    let (mut offset, last) = (0, length - VECTOR);
    while offset + STEP <= length {
        // SAFETY: the loop's condition leaves 64 more bytes at `offset`.
        let [a, b, c, d] = core::array::from_fn(|index| unsafe { same(one, other, offset + index * VECTOR) });
        if mask(and(and(a, b), and(c, d))) != ALL {
            break;
        }
        offset += STEP;
    }
    loop {
        let place = if offset < last { offset } else { last };
        // SAFETY: `place` is at most `last`, which leaves 16 more bytes.
        let same = mask(unsafe { same(one, other, place) });
        if same != ALL {
            let place = place + (!same).trailing_zeros() as usize;
            // SAFETY: the byte is one of these 16.
            let byte = |block: *const u8| i32::from(unsafe { load::<u8>(block.wrapping_add(place)) });
            return byte(one) - byte(other);
        }
        if place == last {
            return 0;
        }
        offset += VECTOR;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            // SAFETY: both vectors hold `length` bytes from their starts on.
            let order = unsafe { compare(a.as_ptr().add(starts.0), b.as_ptr().add(starts.1), length) };
            prop_assert_eq!(order.cmp(&0), one.cmp(&other));
        }
    }
}
