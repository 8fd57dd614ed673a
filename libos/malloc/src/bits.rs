//! A bit for each page of a region.

use core::ops::Range;

/// Number of pages in a region.
pub const COUNT: usize = 256;
const WORDS: usize = COUNT / 64;

/// Bit map of a region's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits([u64; WORDS]);

impl Bits {
    /// Sets all bits of a range, or clears them.
    pub fn fill(&mut self, range: Range<usize>, value: bool) {
        for (index, word) in self.0.iter_mut().enumerate().take(words(&range).end).skip(words(&range).start) {
            let mask = mask(&range, index);
            *word = if value { *word | mask } else { *word & !mask };
        }
    }

    /// Returns the number of set bits in a range.
    pub fn count(&self, range: Range<usize>) -> usize {
        let words = self.0.iter().enumerate().take(words(&range).end).skip(words(&range).start);
        words.map(|(index, word)| (word & mask(&range, index)).count_ones() as usize).sum()
    }

    /// Returns the bits that are set in both maps.
    pub fn and(&self, other: &Self) -> Self {
        let mut both = *self;
        both.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
        both
    }

    /// Returns the first run of set bits from `start` on; an empty range at the end, if there is none.
    pub fn run(&self, start: usize) -> Range<usize> {
        let from = self.find(start, 0);
        from..self.find(from, u64::MAX)
    }

    /// Returns all runs of set bits.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        core::iter::from_fn(move || {
            let run = self.run(end);
            end = run.end;
            (!run.is_empty()).then_some(run)
        })
    }

    /// Returns the first bit from `start` on that differs from those of `pattern`.
    fn find(&self, start: usize, pattern: u64) -> usize {
        let mut from = u64::MAX << (start % 64);
        for (index, word) in self.0.iter().enumerate().skip(start / 64) {
            let found = (word ^ pattern) & from;
            if found != 0 {
                return index * 64 + found.trailing_zeros() as usize;
            }
            from = u64::MAX;
        }
        COUNT
    }
}

/// Returns the words that hold the bits of a range.
fn words(range: &Range<usize>) -> Range<usize> {
    range.start / 64..range.end.div_ceil(64)
}

/// Returns the bits of a range in a word.
fn mask(range: &Range<usize>, word: usize) -> u64 {
    let below = |end: usize| match end.saturating_sub(word * 64) {
        count @ 0..64 => (1 << count) - 1,
        _ => u64::MAX,
    };
    below(range.end) & !below(range.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_filled_counted_and_found(ranges in prop::collection::vec((0..COUNT, 0..COUNT, any::<bool>()), 1..40)) {
            let (mut bits, mut model) = (Bits([0; WORDS]), [false; COUNT]);
            for (start, length, value) in ranges {
                let range = start..(start + length).min(COUNT);
                bits.fill(range.clone(), value);
                model[range.clone()].fill(value);
                let count = |range: Range<usize>| model[range].iter().filter(|bit| **bit).count();
                prop_assert_eq!(bits.count(range.clone()), count(range));
                prop_assert_eq!(bits.count(0..COUNT), count(0..COUNT));
            }
            let mut seen = [false; COUNT];
            for run in bits.runs() {
                prop_assert!(run.end == COUNT || !model[run.end]);
                seen[run].fill(true);
            }
            prop_assert_eq!(seen, model);
        }
    }
}
