//! The registers that every x86-64 has for SSE2: sixteen of 16 bytes.

#![expect(unsafe_code, reason = "raw memory, and intrinsics of the processor")]

use crate::word::{Registers, VECTOR, load};
use core::arch::x86_64::{__m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi64x};

/// SSE2.
#[derive(Debug)]
pub struct Sse2;

type Vector = __m128i;
/// Bytes in a step.
const STEP: usize = 4 * VECTOR;
/// Mask with a bit for each byte of a vector.
const ALL: u32 = (1 << VECTOR) - 1;

impl Registers for Sse2 {
    type Vector = Vector;
    type Row = [Vector; 4];
    const LONG: usize = 1024;

    #[inline(always)]
    fn twice(word: u64) -> Vector {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_set1_epi64x(word as i64) }
    }

    #[inline(always)]
    fn row(vector: Vector) -> [Vector; 4] {
        [vector; 4]
    }

    #[inline(always)]
    unsafe fn compare(one: *const u8, other: *const u8, length: usize) -> i32 {
        // SAFETY: the caller guarantees `length` readable bytes of both, at least a vector.
        unsafe { vectors(one, other, length) }
    }
}

/// Returns all bits of the bytes that are equal in two vectors at `offset`.
#[inline(always)]
unsafe fn same(one: *const u8, other: *const u8, offset: usize) -> Vector {
    // SAFETY: the caller guarantees a vector at `offset` of both.
    let vector = |block: *const u8| unsafe { load(block.wrapping_add(offset)) };
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_cmpeq_epi8(vector(one), vector(other)) }
}

/// Returns the bits that are set in both.
#[inline(always)]
fn and(one: Vector, other: Vector) -> Vector {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_and_si128(one, other) }
}

/// Returns the highest bit of each byte; the first byte's is bit 0.
#[inline(always)]
fn mask(vector: Vector) -> u32 {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_movemask_epi8(vector) as u32 }
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
