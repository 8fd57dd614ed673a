//! Source of memory.

/// Bytes in a page.
pub const PAGE: usize = 4096;

/// A source of pages. Addresses and lengths are multiples of [`PAGE`].
pub trait Pages {
    /// Maps fresh pages, which are zero.
    fn map(&self, length: usize) -> Option<usize>;
    /// Maps fresh pages at `address`, if there are none yet.
    fn map_at(&self, address: usize, length: usize) -> bool;
    /// Unmaps pages.
    fn unmap(&self, address: usize, length: usize);
    /// Changes the length of a mapping, which may move. Returns its new address.
    fn resize(&self, address: usize, old: usize, new: usize) -> Option<usize>;
    /// Returns the memory of pages to the host; they stay mapped and become zero.
    fn discard(&self, address: usize, length: usize);
    /// Ends the program, because it misused a block.
    fn fault(&self, message: &str) -> !;
}

/// Maps `length` bytes of which the byte at `offset`, a multiple of [`PAGE`], is aligned to `align`, a power of two.
///
/// Mapping too much and unmapping the rest is the last resort, because pages that were mapped once are zeroed when they are
/// mapped again, even if they were never touched.
pub fn map_aligned(pages: &impl Pages, length: usize, offset: usize, align: usize) -> Option<usize> {
    let aligned = |address: usize| Some(address.checked_add(offset)?.checked_next_multiple_of(align)? - offset);
    let free = pages.map(PAGE)?;
    pages.unmap(free, PAGE);
    if let Some(start) = aligned(free)
        && pages.map_at(start, length)
    {
        return Some(start);
    }
    let whole = length.checked_add(align)?;
    let mapped = pages.map(whole)?;
    let start = aligned(mapped)?;
    for (from, to) in [(mapped, start), (start + length, mapped + whole)] {
        if from < to {
            pages.unmap(from, to - from);
        }
    }
    Some(start)
}
