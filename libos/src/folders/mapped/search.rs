//! Order in which a search for changes looks through mapped files, a piece at a time.
//!
//! A file that cannot be looked through yet is left behind until it can be; the search goes on with those behind it, up to the next one
//! of that kind. Nothing is looked through twice for it.

use crate::errno::Errno;

/// Place of a search: index of the file in the upper bits, and its page.
pub type Place = u64;

/// Bits of a page's number in a [`Place`].
const PAGE_BITS: u32 = 40;

/// How far a search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Place from which on nothing has been looked through.
    at: Place,
    /// Place in a file before that, from which on it has to be looked through yet.
    missed: Option<Place>,
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// No file, nor at any later place.
    End,
    /// A file that cannot be looked through before some request is completed.
    Blocked,
    /// No room for changes before some request is completed.
    Full,
    /// Looked through: the next place is in the same file, from this page on, or else the next file.
    Seen(Option<u64>),
}

/// State of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All files have been looked through.
    All,
    /// There is more to look through.
    More,
    /// There is more, once a request is completed.
    Waits,
}

/// Index of the file at a place.
pub fn file(place: Place) -> usize {
    (place >> PAGE_BITS) as usize
}

/// Page at a place.
pub fn page(place: Place) -> u64 {
    place & ((1 << PAGE_BITS) - 1)
}

impl Search {
    /// File to which the search comes back.
    pub fn missed(&self) -> Option<usize> {
        self.missed.map(file)
    }

    /// Looks through up to this number of pieces, each by a call of `visit`.
    pub fn go_on(
        &mut self,
        pieces: usize,
        mut visit: impl FnMut(Place) -> Result<Visit, Errno>,
    ) -> Result<Progress, Errno> {
        for _ in 0..pieces {
            if let Some(missed) = self.missed {
                match visit(missed)? {
                    Visit::Full => return Ok(Progress::Waits),
                    Visit::Blocked => {}
                    Visit::End => self.missed = None,
                    Visit::Seen(next) => {
                        self.missed = next.map(|page| behind(missed, Some(page)));
                        continue;
                    }
                }
            }
            match visit(self.at)? {
                Visit::End if self.missed.is_none() => return Ok(Progress::All),
                Visit::Blocked if self.missed.is_none() => {
                    self.missed = Some(self.at);
                    self.at = behind(self.at, None);
                }
                Visit::End | Visit::Blocked | Visit::Full => return Ok(Progress::Waits),
                Visit::Seen(next) => self.at = behind(self.at, next),
            }
        }
        Ok(Progress::More)
    }
}

/// The place of this page in the same file, or else the first of the next file.
fn behind(place: Place, page: Option<u64>) -> Place {
    let file = place >> PAGE_BITS;
    page.map_or((file + 1) << PAGE_BITS, |page| file << PAGE_BITS | page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Looks through files of these numbers of pages, and lists what it has seen: the files in `blocked` cannot be.
    fn seen(search: &mut Search, pages: &[u64], blocked: &[usize], pieces: usize) -> (Vec<(usize, u64)>, Progress) {
        let mut seen = Vec::new();
        let progress = search.go_on(pieces, |place| {
            let Some(count) = pages.get(file(place)) else { return Ok(Visit::End) };
            if blocked.contains(&file(place)) {
                return Ok(Visit::Blocked);
            }
            seen.push((file(place), page(place)));
            Ok(Visit::Seen(Some(page(place) + 1).filter(|next| next < count)))
        });
        (seen, progress.expect("no visit fails"))
    }

    #[test]
    fn files_behind_a_blocked_one_are_looked_through_at_once() {
        let mut search = Search::default();
        let pages = [1, 2, 1, 2, 1];
        assert_eq!(seen(&mut search, &pages, &[1], 9), (vec![(0, 0), (2, 0), (3, 0), (3, 1), (4, 0)], Progress::Waits));
        assert_eq!(search.missed(), Some(1));
        assert_eq!(seen(&mut search, &pages, &[1], 9), (vec![], Progress::Waits));
        assert_eq!(seen(&mut search, &pages, &[], 9), (vec![(1, 0), (1, 1)], Progress::All));
    }

    #[test]
    fn two_blocked_files_are_both_looked_through_in_the_end() {
        let mut search = Search::default();
        let pages = [2, 1, 1, 1];
        assert_eq!(seen(&mut search, &pages, &[], 1), (vec![(0, 0)], Progress::More));
        assert_eq!(seen(&mut search, &pages, &[0, 2], 9), (vec![(1, 0)], Progress::Waits));
        assert_eq!(seen(&mut search, &pages, &[0], 9), (vec![(2, 0), (3, 0)], Progress::Waits));
        assert_eq!(seen(&mut search, &pages, &[2], 9), (vec![(0, 1)], Progress::All));
    }

    #[test]
    fn a_search_without_room_goes_on_where_it_was() {
        let mut search = Search::default();
        assert_eq!(search.go_on(9, |_| Ok(Visit::Full)), Ok(Progress::Waits));
        assert_eq!(search.go_on(9, |_| Err(Errno::ENOMEM)), Err(Errno::ENOMEM));
        assert_eq!(search, Search::default());
    }
}
