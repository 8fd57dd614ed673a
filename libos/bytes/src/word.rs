//! Words of several sizes, at any address.

#![expect(unsafe_code, reason = "raw memory")]

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

/// Registers that hold bytes on their way.
pub trait Registers {
    /// Sixteen bytes.
    type Vector: Copy;
    /// As many vectors as are held at once in a step of a loop.
    type Row: Copy;
    /// Length in bytes from which a string instruction is quicker than a loop.
    const LONG: usize;

    /// Returns a vector of two copies of this word.
    fn twice(word: u64) -> Self::Vector;

    /// Returns a row of copies of this vector.
    fn row(vector: Self::Vector) -> Self::Row;

    /// Compares at least [`VECTOR`] bytes, as [`crate::compare::compare`].
    ///
    /// # Safety
    ///
    /// `length` bytes of both can be read, at least [`VECTOR`].
    unsafe fn compare(one: *const u8, other: *const u8, length: usize) -> i32;
}

/// Bytes in a vector.
pub const VECTOR: usize = 16;

/// Bytes in a step of a loop.
pub const fn step<R: Registers>() -> usize {
    size_of::<R::Row>()
}
