//! Copying.

#![expect(unsafe_code, reason = "raw memory")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "all stand on the one promise of whoever calls")]

use crate::word::{Registers, VECTOR, load, step, store};
use core::arch::asm;

/// Longest copy that loads all bytes before it stores any, so that source and target may overlap.
const fn short_maximum<R: Registers>() -> usize {
    2 * step::<R>()
}

/// Copies bytes to a target that does not overlap with the source.
///
/// # Safety
///
/// The caller guarantees what memcpy(3) requires.
#[inline(always)]
pub unsafe fn apart<R: Registers>(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller guarantees `length` bytes of both, without overlap.
    unsafe {
        match () {
            () if length <= short_maximum::<R>() => short::<R>(to, from, length),
            () if length < R::LONG => upwards::<R>(to, from, length),
            () => string::<R>(to, from, length),
        }
    }
}

/// Copies bytes to any target, overlapping or not.
///
/// # Safety
///
/// The caller guarantees what memmove(3) requires.
#[inline(always)]
pub unsafe fn anywhere<R: Registers>(to: *mut u8, from: *const u8, length: usize) {
    let up = (to as usize).wrapping_sub(from as usize);
    let down = up.wrapping_neg();
    // SAFETY: the caller guarantees `length` bytes of both; the arms choose a direction in which no byte is overwritten before
    // it is read.
    unsafe {
        match () {
            () if length <= short_maximum::<R>() => short::<R>(to, from, length),
            () if up < length => downwards::<R>(to, from, length),
            () if down < length || length < R::LONG => upwards::<R>(to, from, length),
            () => string::<R>(to, from, length),
        }
    }
}

/// Copies up to [`short_maximum`] bytes.
#[inline(always)]
unsafe fn short<R: Registers>(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller guarantees `length` bytes of both; each arm moves words of at most the arm's shortest length, from
    // both ends.
    unsafe {
        match length {
            0 => {}
            1 => store(to, load::<u8>(from)),
            2..=3 => ends::<u16>(to, from, length),
            4..=7 => ends::<u32>(to, from, length),
            8..=16 => ends::<u64>(to, from, length),
            17..=32 => ends::<R::Vector>(to, from, length),
            33..=64 => ends::<[R::Vector; 2]>(to, from, length),
            _ => ends::<[R::Vector; 4]>(to, from, length),
        }
    }
}

/// Copies the first and the last word, which may overlap.
#[inline(always)]
unsafe fn ends<W: Copy>(to: *mut u8, from: *const u8, length: usize) {
    let last = length - size_of::<W>();
    // SAFETY: the caller guarantees `length` readable bytes, at least a word.
    let words: (W, W) = unsafe { (load(from), load(from.wrapping_add(last))) };
    // SAFETY: the caller guarantees `length` writable bytes, at least a word.
    unsafe { store(to, words.0) };
    // SAFETY: the caller guarantees `length` writable bytes, and this word ends at the last.
    unsafe { store(to.wrapping_add(last), words.1) };
}

/// Copies more than [`short_maximum`] bytes in ascending order: correct if the target does not start inside the source.
#[inline(never)]
unsafe fn upwards<R: Registers>(to: *mut u8, from: *const u8, length: usize) {
    // The loop stores at multiples of 16. The bytes that it leaves out at both ends are loaded before it and stored after it.
    let (mut offset, end) = (VECTOR - to as usize % VECTOR, length - step::<R>());
    // SAFETY: the caller guarantees `length` readable bytes, more than a row.
    let (first, last): (R::Vector, R::Row) = unsafe { (load(from), load(from.wrapping_add(end))) };
    while offset < end {
        // SAFETY: `offset` is less than `end`, and from there up to the last byte there is at least a row, of both.
        unsafe { store::<R::Row>(to.wrapping_add(offset), load(from.wrapping_add(offset))) };
        offset += step::<R>();
    }
    // SAFETY: the caller guarantees `length` writable bytes, more than a vector.
    unsafe { store(to, first) };
    // SAFETY: `end` lies a row before the end of the caller's bytes.
    unsafe { store(to.wrapping_add(end), last) };
}

/// Copies more than [`short_maximum`] bytes in descending order: correct if the target does not end inside the source.
#[inline(never)]
unsafe fn downwards<R: Registers>(to: *mut u8, from: *const u8, length: usize) {
    let end = length - VECTOR;
    let mut offset = length - (to as usize + length) % VECTOR;
    // SAFETY: the caller guarantees `length` readable bytes, more than a row.
    let (first, last): (R::Row, R::Vector) = unsafe { (load(from), load(from.wrapping_add(end))) };
    while offset > step::<R>() {
        offset -= step::<R>();
        // SAFETY: `offset` was more than a row, so the row before it lies in both.
        unsafe { store::<R::Row>(to.wrapping_add(offset), load(from.wrapping_add(offset))) };
    }
    // SAFETY: the caller guarantees `length` writable bytes, more than a row.
    unsafe { store(to, first) };
    // SAFETY: the vector ends at the last of the caller's bytes.
    unsafe { store(to.wrapping_add(end), last) };
}

/// Copies at least [`Registers::LONG`] bytes that do not overlap: whole words to multiples of 16 by one instruction, and both ends by
/// vectors.
#[inline(never)]
unsafe fn string<R: Registers>(to: *mut u8, from: *const u8, length: usize) {
    let offset = VECTOR - to as usize % VECTOR;
    let end = length - VECTOR;
    // SAFETY: the caller guarantees `length` readable bytes, more than a vector.
    let (first, last): (R::Vector, R::Vector) = unsafe { (load(from), load(from.wrapping_add(end))) };
    let (words, source, target) = ((length - offset) / 8, from.wrapping_add(offset), to.wrapping_add(offset));
    // SAFETY: `offset` and the words lie within the caller's `length` bytes of both; the ABI keeps the direction flag clear.
    unsafe {
        asm!("rep movsq", inout("rcx") words => _, inout("rsi") source => _, inout("rdi") target => _,
            options(nostack, preserves_flags));
    }
    // SAFETY: the caller guarantees `length` writable bytes, more than a vector.
    unsafe { store(to, first) };
    // SAFETY: the vector ends at the last of the caller's bytes.
    unsafe { store(to.wrapping_add(end), last) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::general::General;
    use crate::sse2::Sse2;
    use proptest::prelude::*;

    /// Lengths of blocks: every path, and both sides of each limit.
    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![
            0usize..300,
            General::LONG - 100..General::LONG + 100,
            Sse2::LONG - 100..Sse2::LONG + 100,
            0..6000usize
        ]
    }

    fn bytes_arrive<R: Registers>(length: usize, from: usize, to: usize) {
        let source: Vec<u8> = (0..length + 64).map(|index| (index % 251) as u8).collect();
        let mut target = vec![0xee; length + 128];
        // SAFETY: the vectors have 64 and 128 bytes more than `length`, and both starts are less than 64.
        unsafe { apart::<R>(target.as_mut_ptr().add(to), source.as_ptr().add(from), length) };
        assert_eq!(&target[to..to + length], &source[from..from + length]);
        assert!(target[..to].iter().chain(&target[to + length..]).all(|byte| *byte == 0xee));
    }

    fn overlapping_bytes_arrive<R: Registers>(length: usize, from: usize, to: usize) {
        let mut bytes: Vec<u8> = (0..length + 300).map(|index| (index * 7 % 251) as u8).collect();
        let mut model = bytes.clone();
        model.copy_within(from..from + length, to);
        let start = bytes.as_mut_ptr();
        // SAFETY: the vector has 300 bytes more than `length`, and both starts are less than 300.
        unsafe { anywhere::<R>(start.add(to), start.add(from), length) };
        assert_eq!(bytes, model);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn bytes_arrive_and_no_others_change(length in lengths(), from in 0usize..64, to in 0usize..64) {
            bytes_arrive::<Sse2>(length, from, to);
            bytes_arrive::<General>(length, from, to);
        }

        #[test]
        fn bytes_that_overlap_arrive(length in lengths(), from in 0usize..300, to in 0usize..300) {
            overlapping_bytes_arrive::<Sse2>(length, from, to);
            overlapping_bytes_arrive::<General>(length, from, to);
        }
    }
}
