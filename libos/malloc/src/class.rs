//! Sizes of small blocks: 16 to 128 in steps of 16, then four per doubling. Thus a block is at most a fifth larger than asked
//! for.

use crate::pages::PAGE;

/// Alignment of every block, and distance between the smallest classes.
pub const STEP: usize = 16;
/// Largest size that has a class.
pub const LARGEST: usize = 16 << 10;
/// Number of classes.
pub const COUNT: usize = class(LARGEST) + 1;

/// Returns the class of blocks that hold `size` bytes; at least [`COUNT`] if there is none.
#[inline(always)]
pub const fn class(size: usize) -> usize {
    let last = size.saturating_sub(1);
    let octave = (last | (8 * STEP - 1)).ilog2() as usize;
    (octave - 6) * 4 + (last >> (octave - 2))
}

/// Returns the bytes in a block of a class.
pub const fn block(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * STEP;
    }
    let octave = 7 + (class - 8) / 4;
    (1 << octave) + ((class - 8) % 4 + 1) * (1 << (octave - 2))
}

/// Returns the pages in a span of a class: at least 16 KiB, and at least eight blocks, which then fill the span exactly.
pub const fn span_pages(class: usize) -> usize {
    let pages = (block(class) * 8).div_ceil(PAGE);
    if pages < 4 { 4 } else { pages }
}

/// Returns the most blocks of a class in a thread's cache: 32 KiB, within limits.
pub const fn keep(class: usize) -> usize {
    let count = (32 << 10) / block(class);
    if count > 256 { 256 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_fits_its_class_and_not_the_one_below() {
        for size in 0..=LARGEST {
            let class = class(size);
            assert!(block(class) >= size, "{size}");
            assert!(class == 0 || block(class - 1) < size, "{size}");
            assert!(block(class).is_multiple_of(STEP), "{size}");
        }
        assert_eq!(block(COUNT - 1), LARGEST);
        assert_eq!(COUNT, 36);
        assert!(class(LARGEST + 1) >= COUNT && class(usize::MAX) >= COUNT);
    }

    #[test]
    fn spans_hold_eight_blocks_and_waste_little() {
        for class in 0..COUNT {
            let bytes = span_pages(class) * PAGE;
            assert!(bytes / block(class) >= 8, "{class}");
            assert!(bytes % block(class) * 16 <= bytes, "{class}");
        }
    }
}
