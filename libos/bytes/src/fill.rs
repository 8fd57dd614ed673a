//! Filling.

#![expect(unsafe_code, reason = "raw memory")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "all stand on the one promise of whoever calls")]

use crate::word::{Registers, VECTOR, step, store};
use core::arch::asm;

/// Writes `byte` `length` times.
///
/// # Safety
///
/// The caller guarantees what memset(3) requires.
#[inline(always)]
pub unsafe fn fill<R: Registers>(to: *mut u8, byte: u8, length: usize) {
    let word = u64::from(byte) * 0x0101_0101_0101_0101;
    let vector = || R::twice(word);
    // SAFETY: the caller guarantees `length` writable bytes; each arm writes words of at most the arm's shortest length, from
    // both ends.
    unsafe {
        match length {
            0 => {}
            1 => store(to, byte),
            2..=3 => ends(to, word as u16, length),
            4..=7 => ends(to, word as u32, length),
            8..=16 => ends(to, word, length),
            17..=32 => ends(to, vector(), length),
            33..=64 => ends(to, [vector(); 2], length),
            65..=128 => ends(to, [vector(); 4], length),
            _ if length < R::LONG => upwards::<R>(to, vector(), length),
            _ => string::<R>(to, word, vector(), length),
        }
    }
}

/// Writes the first and the last word, which may overlap.
#[inline(always)]
unsafe fn ends<W: Copy>(to: *mut u8, word: W, length: usize) {
    // SAFETY: the caller guarantees `length` writable bytes, at least a word.
    unsafe { store(to, word) };
    // SAFETY: the caller guarantees `length` writable bytes, and this word ends at the last.
    unsafe { store(to.wrapping_add(length - size_of::<W>()), word) };
}

/// Fills at least 80 bytes by a loop.
#[inline(never)]
unsafe fn upwards<R: Registers>(to: *mut u8, vector: R::Vector, length: usize) {
    // The loop stores at multiples of 16.
    let (mut offset, end) = (VECTOR - to as usize % VECTOR, length - step::<R>());
    // SAFETY: the caller guarantees `length` writable bytes, more than a vector.
    unsafe { store(to, vector) };
    while offset < end {
        // SAFETY: `offset` is less than `end`, and from there up to the last byte there is at least a row.
        unsafe { store(to.wrapping_add(offset), R::row(vector)) };
        offset += step::<R>();
    }
    // SAFETY: `end` lies a row before the end of the caller's bytes.
    unsafe { store(to.wrapping_add(end), R::row(vector)) };
}

/// Fills at least [`Registers::LONG`] bytes: whole words at multiples of 16 by one instruction.
#[inline(never)]
unsafe fn string<R: Registers>(to: *mut u8, word: u64, vector: R::Vector, length: usize) {
    let offset = VECTOR - to as usize % VECTOR;
    let (words, target) = ((length - offset) / 8, to.wrapping_add(offset));
    // In ascending order, because memory that is touched in ascending order is populated in large pieces.
    // SAFETY: the caller guarantees `length` writable bytes, more than a vector.
    unsafe { store(to, vector) };
    // SAFETY: `offset` and the words lie within the caller's `length` bytes; the ABI keeps the direction flag clear.
    unsafe {
        asm!("rep stosq", inout("rcx") words => _, inout("rdi") target => _, in("rax") word,
            options(nostack, preserves_flags));
    }
    // SAFETY: the vector ends at the last of the caller's bytes.
    unsafe { store(to.wrapping_add(length - VECTOR), vector) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::general::General;
    use crate::sse2::Sse2;
    use proptest::prelude::*;

    fn bytes_are_written<R: Registers>(length: usize, start: usize, byte: u8) {
        let mut target = vec![!byte; length + 128];
        // SAFETY: the vector has 128 bytes more than `length`, and `start` is less than 64.
        unsafe { fill::<R>(target.as_mut_ptr().add(start), byte, length) };
        assert!(target[start..start + length].iter().all(|found| *found == byte));
        assert!(target[..start].iter().chain(&target[start + length..]).all(|found| *found == !byte));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn bytes_are_written_and_no_others(
            length in prop_oneof![0usize..300, 400..600usize, Sse2::LONG - 100..Sse2::LONG + 100, 0..6000usize],
            start in 0usize..64,
            byte: u8,
        ) {
            bytes_are_written::<Sse2>(length, start, byte);
            bytes_are_written::<General>(length, start, byte);
        }
    }
}
