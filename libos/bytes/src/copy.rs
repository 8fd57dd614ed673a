//! Copying.

#![expect(unsafe_code, reason = "raw memory")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "all stand on the one promise of whoever calls")]

use crate::word::{STEP, VECTOR, Vector, load, load_row, store, store_row};
use core::arch::asm;

/// Longest copy for which all is loaded before anything is stored, so that it does not matter whether source and target
/// overlap.
const SHORT: usize = 2 * STEP;
/// From so many bytes on, a string instruction is quicker than the loop.
const LONG: usize = 1024;

/// Copies bytes to where they do not overlap with where they come from.
///
/// # Safety
///
/// As for memcpy(3).
#[inline(always)]
pub unsafe fn apart(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match length {
            0..=SHORT => short(to, from, length),
            _ if length < LONG => upwards(to, from, length),
            _ => string(to, from, length),
        }
    }
}

/// Copies bytes, wherever to.
///
/// # Safety
///
/// As for memmove(3).
#[inline(always)]
pub unsafe fn anywhere(to: *mut u8, from: *const u8, length: usize) {
    let up = (to as usize).wrapping_sub(from as usize);
    let down = up.wrapping_neg();
    // SAFETY: the caller's promise.
    unsafe {
        match () {
            () if length <= SHORT => short(to, from, length),
            () if up < length => downwards(to, from, length),
            () if down < length || length < LONG => upwards(to, from, length),
            () => string(to, from, length),
        }
    }
}

/// Up to [`SHORT`] bytes.
#[inline(always)]
unsafe fn short(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller's promise; each line moves as many bytes as there are at least, from both ends.
    unsafe {
        match length {
            0 => {}
            1 => store(to, load::<u8>(from)),
            2..=3 => ends::<u16>(to, from, length),
            4..=7 => ends::<u32>(to, from, length),
            8..=16 => ends::<u64>(to, from, length),
            17..=32 => ends::<Vector>(to, from, length),
            33..=64 => ends::<[Vector; 2]>(to, from, length),
            _ => ends::<[Vector; 4]>(to, from, length),
        }
    }
}

/// The first word and the last one, which may overlap.
#[inline(always)]
unsafe fn ends<W: Copy>(to: *mut u8, from: *const u8, length: usize) {
    let last = length - size_of::<W>();
    // SAFETY: the caller's promise.
    let words: (W, W) = unsafe { (load(from), load(from.wrapping_add(last))) };
    // SAFETY: the caller's promise.
    unsafe { store(to, words.0) };
    // SAFETY: the caller's promise.
    unsafe { store(to.wrapping_add(last), words.1) };
}

/// More than [`SHORT`] bytes, from the first to the last: right if the target does not lie in the source.
#[inline(never)]
unsafe fn upwards(to: *mut u8, from: *const u8, length: usize) {
    // The loop stores at multiples of 16. What it leaves out at the ends is loaded before it and stored after.
    let (mut offset, end) = (VECTOR - to as usize % VECTOR, length - STEP);
    // SAFETY: the caller's promise.
    let (first, last): (Vector, [Vector; 4]) = unsafe { (load(from), load_row(from.wrapping_add(end))) };
    while offset < end {
        // SAFETY: up to 64 bytes before the end there are 64 more.
        unsafe { store_row::<4>(to.wrapping_add(offset), load_row(from.wrapping_add(offset))) };
        offset += STEP;
    }
    // SAFETY: the caller's promise.
    unsafe { store(to, first) };
    // SAFETY: the caller's promise.
    unsafe { store_row(to.wrapping_add(end), last) };
}

/// The same from the last to the first: right if the target does not end in the source.
#[inline(never)]
unsafe fn downwards(to: *mut u8, from: *const u8, length: usize) {
    let end = length - VECTOR;
    let mut offset = length - (to as usize + length) % VECTOR;
    // SAFETY: the caller's promise.
    let (first, last): ([Vector; 4], Vector) = unsafe { (load_row(from), load(from.wrapping_add(end))) };
    while offset > STEP {
        offset -= STEP;
        // SAFETY: more than 64 bytes from the start there were 64 before.
        unsafe { store_row::<4>(to.wrapping_add(offset), load_row(from.wrapping_add(offset))) };
    }
    // SAFETY: the caller's promise.
    unsafe { store_row(to, first) };
    // SAFETY: the caller's promise.
    unsafe { store(to.wrapping_add(end), last) };
}

/// At least [`LONG`] bytes that do not overlap: whole words to multiples of 16 by one instruction, the rest as above.
#[inline(never)]
unsafe fn string(to: *mut u8, from: *const u8, length: usize) {
    let offset = VECTOR - to as usize % VECTOR;
    let end = length - VECTOR;
    // SAFETY: the caller's promise.
    let (first, last): (Vector, Vector) = unsafe { (load(from), load(from.wrapping_add(end))) };
    let (words, source, target) = ((length - offset) / 8, from.wrapping_add(offset), to.wrapping_add(offset));
    // SAFETY: the caller's promise; the direction flag is clear by convention.
    unsafe {
        asm!("rep movsq", inout("rcx") words => _, inout("rsi") source => _, inout("rdi") target => _,
            options(nostack, preserves_flags));
    }
    // SAFETY: the caller's promise.
    unsafe { store(to, first) };
    // SAFETY: the caller's promise.
    unsafe { store(to.wrapping_add(end), last) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::STEP;
    use proptest::prelude::*;

    /// Where blocks start and how long they are: every path, and both sides of each limit.
    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![0usize..=SHORT + 2 * STEP, LONG - 2 * STEP..LONG + 2 * STEP, 0..6000usize]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn bytes_arrive_and_no_others_change(length in lengths(), from in 0usize..64, to in 0usize..64) {
            let source: Vec<u8> = (0..length + 64).map(|index| (index % 251) as u8).collect();
            let mut target = vec![0xee; length + 128];
            // SAFETY: both vectors are longer by where the bytes start.
            unsafe { apart(target.as_mut_ptr().add(to), source.as_ptr().add(from), length) };
            prop_assert_eq!(&target[to..to + length], &source[from..from + length]);
            prop_assert!(target[..to].iter().chain(&target[to + length..]).all(|byte| *byte == 0xee));
        }

        #[test]
        fn bytes_that_overlap_arrive(length in lengths(), from in 0usize..300, to in 0usize..300) {
            let mut bytes: Vec<u8> = (0..length + 300).map(|index| (index * 7 % 251) as u8).collect();
            let mut model = bytes.clone();
            model.copy_within(from..from + length, to);
            let start = bytes.as_mut_ptr();
            // SAFETY: the vector is longer by where the bytes start.
            unsafe { anywhere(start.add(to), start.add(from), length) };
            prop_assert_eq!(bytes, model);
        }
    }
}
