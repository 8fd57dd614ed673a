//! Set of pages of the sparse region: a bitmap for each piece of addresses that has any, because a program touches little of
//! what it reserves, here and there.

use husk_abi::memory::{PAGE, Region};
use std::collections::BTreeMap;

/// Addresses that have a bitmap together: a multiple of this number, and as many bytes.
pub const PIECE: u64 = 64 << 20;
const WORDS: usize = (PIECE / PAGE / 64) as usize;

/// Pages by their guest addresses.
#[derive(Debug, Default)]
pub struct Pages {
    /// Bits of the pages of a piece, by the piece's number; none is empty.
    pieces: BTreeMap<u64, Box<[u64; WORDS]>>,
}

/// Piece of an address, index of the word in it, and the bit.
fn place(address: u64) -> (u64, usize, u64) {
    let page = address % PIECE / PAGE;
    (address / PIECE, (page / 64) as usize, 1 << (page % 64))
}

impl Pages {
    /// Returns true if the page at this address is in the set.
    pub fn has(&self, address: u64) -> bool {
        let (piece, word, bit) = place(address);
        self.pieces.get(&piece).is_some_and(|words| words[word] & bit != 0)
    }

    /// Adds the page at this address.
    pub fn insert(&mut self, address: u64) {
        let (piece, word, bit) = place(address);
        self.pieces.entry(piece).or_insert_with(|| Box::new([0; WORDS]))[word] |= bit;
    }

    /// Removes these whole pages.
    pub fn remove(&mut self, pages: Region) {
        let numbers = pages.start / PIECE..=pages.end().saturating_sub(1) / PIECE;
        let pieces: Vec<u64> = self.pieces.range(numbers).map(|(piece, _)| *piece).collect();
        for number in pieces {
            let part = within(pages, number);
            if let Some(words) = self.pieces.get_mut(&number) {
                for address in (part.start..part.end()).step_by(PAGE as usize) {
                    let (_, word, bit) = place(address);
                    words[word] &= !bit;
                }
                if words.iter().all(|word| *word == 0) {
                    self.pieces.remove(&number);
                }
            }
        }
    }

    /// Runs of pages in the set within a range of whole pages, in ascending order.
    pub fn runs(&self, pages: Region) -> Vec<Region> {
        let mut runs: Vec<Region> = Vec::new();
        let numbers = pages.start / PIECE..=pages.end().saturating_sub(1) / PIECE;
        for (number, words) in self.pieces.range(numbers) {
            let part = within(pages, *number);
            let mut address = part.start;
            while address < part.end() {
                let (_, word, bit) = place(address);
                if words[word] == 0 {
                    // The next word's first page.
                    address = address / (64 * PAGE) * (64 * PAGE) + 64 * PAGE;
                    continue;
                }
                if words[word] & bit != 0 {
                    match runs.last_mut().filter(|run| run.end() == address) {
                        Some(run) => run.length += PAGE,
                        None => runs.push(Region { start: address, length: PAGE }),
                    }
                }
                address += PAGE;
            }
        }
        runs
    }

    /// Runs of pages that are not in the set within a range of whole pages, in ascending order.
    pub fn holes(&self, pages: Region) -> Vec<Region> {
        let mut start = pages.start;
        let mut holes = Vec::new();
        for run in self.runs(pages).into_iter().chain([Region { start: pages.end(), length: 0 }]) {
            if run.start > start {
                holes.push(Region::between(start, run.start));
            }
            start = run.end();
        }
        holes
    }
}

/// Part of a range of pages that lies in a piece.
fn within(pages: Region, piece: u64) -> Region {
    let (start, end) = (piece * PIECE, (piece + 1) * PIECE);
    Region::between(pages.start.max(start), pages.end().min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(first: u64, count: u64) -> Region {
        Region { start: first * PAGE, length: count * PAGE }
    }

    #[test]
    fn runs_and_holes_cross_pieces() {
        let border = PIECE / PAGE;
        let mut pages = Pages::default();
        for page in [3, border - 1, border, border + 1, 9 * border] {
            pages.insert(page * PAGE);
        }
        assert!(pages.has(3 * PAGE + 5) && !pages.has(4 * PAGE));
        assert_eq!(pages.runs(region(0, 9 * border)), [region(3, 1), region(border - 1, 3)]);
        assert_eq!(pages.runs(region(border, 1)), [region(border, 1)]);
        assert_eq!(pages.holes(region(0, border + 1)), [region(0, 3), region(4, border - 5)]);
        assert_eq!(pages.holes(region(border, 2)), []);
        pages.remove(region(4, border - 3));
        assert_eq!(pages.runs(region(0, 20 * border)), [region(3, 1), region(border + 1, 1), region(9 * border, 1)]);
        pages.remove(region(0, 20 * border));
        assert!(pages.pieces.is_empty());
    }
}
