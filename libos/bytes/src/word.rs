//! Words of several sizes, at any address.

#![expect(unsafe_code, reason = "raw memory")]

use core::arch::x86_64::{__m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi64x};

/// Sixteen bytes: the largest word that every x86-64 has.
pub type Vector = __m128i;
/// Bytes in a [`Vector`].
pub const VECTOR: usize = size_of::<Vector>();
/// Bytes in a step of a loop.
pub const STEP: usize = 4 * VECTOR;

/// Reads a word.
///
/// # Safety
///
/// The word's bytes can be read.
#[inline(always)]
pub unsafe fn load<W: Copy>(from: *const u8) -> W {
    // SAFETY: the caller guarantees that the bytes can be read; any bytes are a valid word.
    unsafe { from.cast::<W>().read_unaligned() }
}

/// Writes a word.
///
/// # Safety
///
/// The word's bytes can be written.
#[inline(always)]
pub unsafe fn store<W: Copy>(to: *mut u8, word: W) {
    // SAFETY: the caller guarantees that the bytes can be written.
    unsafe { to.cast::<W>().write_unaligned(word) };
}

/// Reads `N` adjacent vectors.
///
/// # Safety
///
/// The bytes of the vectors can be read.
#[inline(always)]
pub unsafe fn load_row<const N: usize>(from: *const u8) -> [Vector; N] {
    // SAFETY: the caller guarantees that the bytes of all `N` vectors can be read.
    core::array::from_fn(|index| unsafe { load(from.wrapping_add(index * VECTOR)) })
}

/// Writes adjacent vectors.
///
/// # Safety
///
/// The bytes of the vectors can be written.
#[inline(always)]
pub unsafe fn store_row<const N: usize>(to: *mut u8, row: [Vector; N]) {
    for (index, vector) in row.into_iter().enumerate() {
        // SAFETY: the caller guarantees that the bytes of all `N` vectors can be written.
        unsafe { store(to.wrapping_add(index * VECTOR), vector) };
    }
}

/// Returns a vector of two copies of this word.
#[inline(always)]
pub fn twice(word: u64) -> Vector {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_set1_epi64x(word as i64) }
}

/// Returns a mask with all bits of the bytes that are equal in both.
#[inline(always)]
pub fn equal(one: Vector, other: Vector) -> Vector {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_cmpeq_epi8(one, other) }
}

/// Returns the bits that are set in both.
#[inline(always)]
pub fn and(one: Vector, other: Vector) -> Vector {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_and_si128(one, other) }
}

/// Returns the highest bit of each byte; the first byte's is bit 0.
#[inline(always)]
pub fn mask(vector: Vector) -> u32 {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_movemask_epi8(vector) as u32 }
}
