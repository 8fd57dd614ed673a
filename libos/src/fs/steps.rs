//! Step functions: a number for each page, of which long runs are equal.

use crate::errno::Errno;
use alloc::vec::Vec;
use core::ops::Range;

/// A number for each page; 0 for most.
#[derive(Debug, Default)]
pub struct Steps {
    /// First pages of runs, ascending, with the number that holds from there to the next. Neighbours differ, and the last is 0.
    runs: Vec<(u64, u32)>,
}

impl Steps {
    /// Number of a page, and the first page behind that may have another.
    pub fn run(&self, page: u64) -> (u32, u64) {
        let next = self.runs.partition_point(|(first, _)| *first <= page);
        let number = next.checked_sub(1).and_then(|at| self.runs.get(at)).map_or(0, |(_, number)| *number);
        (number, self.runs.get(next).map_or(u64::MAX, |(first, _)| *first))
    }

    /// Returns true if every number is 0.
    pub fn is_zero(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns true if `condition` holds for the number of every page in `pages`.
    pub fn all(&self, pages: Range<u64>, condition: impl Fn(u32) -> bool) -> bool {
        self.runs(pages).all(|(_, number)| condition(number))
    }

    /// Runs of equal numbers in `pages`.
    pub fn runs(&self, pages: Range<u64>) -> impl Iterator<Item = (Range<u64>, u32)> {
        let mut next = pages.start;
        core::iter::from_fn(move || {
            let start = (next < pages.end).then_some(next)?;
            let (number, end) = self.run(start);
            next = end.min(pages.end);
            Some((start..next, number))
        })
    }

    /// Applies `change` to the number of every page in `pages`; without effect if it fails.
    pub fn change(&mut self, pages: Range<u64>, change: impl Fn(u32) -> u32) -> Result<(), Errno> {
        *self = self.changed(pages, change)?;
        Ok(())
    }

    /// Returns the numbers with `change` applied to that of every page in `pages`.
    pub fn changed(&self, pages: Range<u64>, change: impl Fn(u32) -> u32) -> Result<Self, Errno> {
        let mut runs = Vec::new();
        runs.try_reserve_exact(self.runs.len() + 2).map_err(|_| Errno::ENOMEM)?;
        if pages.is_empty() {
            runs.extend_from_slice(&self.runs);
            return Ok(Self { runs });
        }
        let mut add = |first: u64, number: u32| {
            if runs.last().map_or(0, |(_, before)| *before) != number {
                runs.push((first, number));
            }
        };
        let before = self.runs.iter().take_while(|(first, _)| *first < pages.start);
        before.for_each(|(first, number)| add(*first, *number));
        self.runs(pages.clone()).for_each(|(run, number)| add(run.start, change(number)));
        add(pages.end, self.run(pages.end).0);
        self.runs.iter().filter(|(first, _)| *first > pages.end).for_each(|(first, number)| add(*first, *number));
        Ok(Self { runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_numbers_are_those_of_a_table(changes in vec((0..40u64, 0..40u64, any::<bool>()), 0..60)) {
            let (mut steps, mut table) = (Steps::default(), [0u32; 41]);
            for (start, end, up) in changes {
                let change = |number: u32| if up { number + 1 } else { number.saturating_sub(1) };
                steps.change(start..end, change).expect("memory");
                (start..end).for_each(|page| table[page as usize] = change(table[page as usize]));
                for (page, number) in table.iter().enumerate() {
                    prop_assert_eq!(steps.run(page as u64).0, *number);
                }
                prop_assert!(steps.runs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1));
                prop_assert_eq!(steps.is_zero(), table.iter().all(|number| *number == 0));
                prop_assert_eq!(steps.all(start..end, |number| number > 0), (start..end).all(|page| table[page as usize] > 0));
            }
        }
    }
}
