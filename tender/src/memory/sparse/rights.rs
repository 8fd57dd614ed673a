//! Rights of a guest to the pages of the sparse region, touched or not: a number of intervals, because a program reserves
//! far more pages than could be noted one by one.

use husk_abi::memory::{Region, Rights};
use std::collections::BTreeMap;
use std::mem;

/// Rights to all pages at first.
pub const USUAL: Rights = Rights::READ.union(Rights::WRITE);
/// Most places where the rights change: as many mappings as Linux gives a process (`vm.max_map_count`).
const MOST: usize = 65_530;

/// Rights by address.
#[derive(Debug, Default)]
pub struct Intervals {
    /// Rights from an address up to the next; [`USUAL`] below the first.
    from: BTreeMap<u64, Rights>,
}

impl Intervals {
    /// Rights to the page at this address.
    pub fn at(&self, address: u64) -> Rights {
        self.from.range(..=address).next_back().map_or(USUAL, |(_, rights)| *rights)
    }

    /// Returns true if there is no room for another change of rights.
    pub fn is_full(&self) -> bool {
        self.from.len() + 2 > MOST
    }

    /// Sets the rights to these pages.
    pub fn set(&mut self, pages: Region, rights: Rights) {
        let before = pages.start.checked_sub(1).map_or(USUAL, |address| self.at(address));
        let after = self.at(pages.end());
        let changes: Vec<u64> = self.from.range(pages.start..=pages.end()).map(|(address, _)| *address).collect();
        for address in changes {
            self.from.remove(&address);
        }
        if before != rights {
            self.from.insert(pages.start, rights);
        }
        if after != rights {
            self.from.insert(pages.end(), after);
        }
    }

    /// Runs of pages with equal rights.
    pub fn runs(&self, pages: Region) -> Vec<(Region, Rights)> {
        let changes = self.from.range(pages.start + 1..).map(|(address, _)| *address);
        let ends = changes.take_while(|address| *address < pages.end()).chain([pages.end()]);
        let mut start = pages.start;
        let runs = ends.map(|end| Region::between(mem::replace(&mut start, end), end));
        runs.map(|run| (run, self.at(run.start))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rights() -> impl Strategy<Value = Rights> {
        prop_oneof![Just(Rights::empty()), Just(Rights::READ), Just(USUAL)]
    }

    proptest! {
        #[test]
        fn intervals_are_what_a_list_of_pages_would_be(
            changes in prop::collection::vec((0u64..40, 1u64..20, rights()), 1..30),
            start in 0u64..50,
            length in 1u64..20,
        ) {
            let (mut intervals, mut list) = (Intervals::default(), vec![USUAL; 64]);
            for (start, length, rights) in changes {
                intervals.set(Region { start, length }, rights);
                list[start as usize..(start + length) as usize].fill(rights);
            }
            for (address, rights) in list.iter().enumerate().map(|(address, rights)| (address as u64, *rights)) {
                prop_assert_eq!(intervals.at(address), rights);
            }
            let length = length.min(64 - start);
            let runs = intervals.runs(Region { start, length });
            let flat: Vec<Rights> = runs.iter().flat_map(|(run, rights)| vec![*rights; run.length as usize]).collect();
            prop_assert_eq!(&flat[..], &list[start as usize..(start + length) as usize]);
            prop_assert!(runs.windows(2).all(|pair| pair[0].1 != pair[1].1));
            prop_assert!(intervals.from.len() <= 41);
        }
    }
}
