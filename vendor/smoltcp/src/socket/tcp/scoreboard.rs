use heapless::Vec;

use crate::config::ASSEMBLER_MAX_SEGMENT_COUNT;
use crate::wire::TcpSeqNumber;

/// A range of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Range {
    start: TcpSeqNumber,
    end: TcpSeqNumber,
}

/// A range that was sent again.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Retransmission {
    range: Range,
    /// The next sequence number to be sent for the first time, when the range was sent again:
    /// what is sent from there on arrives later than the retransmission.
    next: TcpSeqNumber,
}

/// What the remote has received beyond its cumulative acknowledgement, and what of the rest was
/// sent again (RFC 2018, RFC 6675).
///
/// The ranges are disjoint, not adjacent, and sorted. All sequence numbers that are passed must be
/// in the window between the oldest unacknowledged octet and the next one to be sent, except for
/// those in [`Scoreboard::sack`], which come from the remote and are checked.
#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Scoreboard {
    sacked: Vec<Range, ASSEMBLER_MAX_SEGMENT_COUNT>,
    retransmitted: Vec<Retransmission, ASSEMBLER_MAX_SEGMENT_COUNT>,
    /// Everything in front of this sequence number that was not received is lost.
    lost_to: Option<TcpSeqNumber>,
}

impl Scoreboard {
    pub fn clear(&mut self) {
        self.sacked.clear();
        self.retransmitted.clear();
        self.lost_to = None;
    }

    pub fn is_empty(&self) -> bool {
        self.sacked.is_empty()
    }

    /// Whether the remote has reported this octet, which must be the first of the window.
    pub fn has_arrived(&self, una: TcpSeqNumber) -> bool {
        self.sacked.first().is_some_and(|range| range.start == una)
    }

    pub fn has_retransmissions(&self) -> bool {
        !self.retransmitted.is_empty()
    }

    /// Forget everything in front of the oldest unacknowledged octet.
    pub fn advance(&mut self, una: TcpSeqNumber) {
        self.sacked.retain_mut(|range| {
            range.start = range.start.max(una);
            range.end > una
        });
        self.retransmitted.retain_mut(|sent| {
            sent.range.start = sent.range.start.max(una);
            sent.range.end > una
        });
        if self.lost_to.is_some_and(|lost_to| lost_to <= una) {
            self.lost_to = None;
        }
    }

    /// Record a range that the remote has received. Returns whether it is news.
    pub fn sack(
        &mut self,
        (una, next): (TcpSeqNumber, TcpSeqNumber),
        start: TcpSeqNumber,
        end: TcpSeqNumber,
    ) -> bool {
        // A range may have any value; only those inside of the window are comparable.
        let offset = |seq: TcpSeqNumber| seq.0.wrapping_sub(una.0);
        if offset(start) <= 0 || offset(end) <= offset(start) || offset(end) > offset(next) {
            return false;
        }
        let covers = |range: &Range| range.start <= start && end <= range.end;
        if self.sacked.iter().any(covers) {
            return false;
        }

        let mut new = Range { start, end };
        self.sacked.retain(|range| {
            let touches = range.start <= new.end && new.start <= range.end;
            if touches {
                new.start = new.start.min(range.start);
                new.end = new.end.max(range.end);
            }
            !touches
        });
        let at = self
            .sacked
            .iter()
            .position(|range| range.start > new.start)
            .unwrap_or(self.sacked.len());
        if self.sacked.is_full() {
            if at == self.sacked.len() {
                return false;
            }
            // The lower ranges are those that complete the stream first.
            self.sacked.pop();
        }
        self.sacked.insert(at, new).is_ok()
    }

    /// Take retransmissions for lost if something arrived that was sent `margin` octets later.
    pub fn detect_lost_retransmissions(&mut self, margin: usize) {
        if let Some(highest) = self.sacked.last().map(|range| range.end) {
            self.retransmitted
                .retain(|sent| highest <= sent.next + margin);
        }
    }

    /// Take everything in front of `seq` that has not arrived for lost, also if it was sent again.
    pub fn lose_to(&mut self, seq: TcpSeqNumber) {
        self.retransmitted.clear();
        self.lost_to = Some(seq);
    }

    /// Take the holes in front of what has arrived for lost.
    pub fn lose_holes(&mut self) {
        if let Some(last) = self.sacked.last() {
            self.lost_to = Some(last.start);
        }
    }

    /// Record that a range was sent again. `next` is the next sequence number to be sent.
    pub fn retransmit(&mut self, start: TcpSeqNumber, end: TcpSeqNumber, next: TcpSeqNumber) {
        if let Some(sent) = self
            .retransmitted
            .iter_mut()
            .find(|sent| sent.range.end == start)
        {
            (sent.range.end, sent.next) = (end, next);
            return;
        }
        let range = Range { start, end };
        // There is room, because `next_lost` returns nothing without.
        let _ = self.retransmitted.push(Retransmission { range, next });
    }

    /// The parts of the window that have not arrived, each with whether it is lost.
    ///
    /// A hole is lost if `threshold` octets have arrived from behind it (RFC 6675, IsLost).
    fn holes(
        &self,
        (una, next): (TcpSeqNumber, TcpSeqNumber),
        threshold: usize,
    ) -> impl Iterator<Item = (Range, bool)> {
        let mut behind: usize = self
            .sacked
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let (mut from, mut ranges) = (una, self.sacked.iter());
        let mut is_over = false;
        let holes = core::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let arrived = behind;
            let start = from;
            let end = match ranges.next() {
                Some(range) => {
                    behind -= range.end - range.start;
                    from = range.end;
                    range.start
                }
                None => {
                    is_over = true;
                    next
                }
            };
            Some((Range { start, end }, arrived >= threshold))
        });
        // The part of a hole in front of `lost_to` is lost in any case.
        holes
            .flat_map(|(hole, is_lost)| {
                let lost_to = match self.lost_to {
                    _ if is_lost => hole.end,
                    Some(lost_to) => lost_to.max(hole.start).min(hole.end),
                    None => hole.start,
                };
                let (start, end) = (hole.start, hole.end);
                let lost = Range {
                    start,
                    end: lost_to,
                };
                let other = Range {
                    start: lost_to,
                    end,
                };
                [(lost, true), (other, false)]
            })
            .filter(|(range, _)| range.start < range.end)
    }

    /// The first range that is lost, and was not sent again.
    pub fn next_lost(
        &self,
        window: (TcpSeqNumber, TcpSeqNumber),
        threshold: usize,
    ) -> Option<(TcpSeqNumber, TcpSeqNumber)> {
        if self.retransmitted.is_full() {
            return None;
        }
        let lost = self
            .holes(window, threshold)
            .filter(|(_, is_lost)| *is_lost);
        lost.map(|(hole, _)| self.without_retransmissions(hole))
            .find(|(start, end)| start < end)
    }

    /// The first part of a range that was not sent again; an empty one if all was.
    fn without_retransmissions(&self, range: Range) -> (TcpSeqNumber, TcpSeqNumber) {
        let mut start = range.start;
        // They are not sorted.
        while let Some(sent) = self
            .retransmitted
            .iter()
            .find(|sent| sent.range.start <= start && start < sent.range.end)
        {
            start = sent.range.end;
        }
        let starts = self.retransmitted.iter().map(|sent| sent.range.start);
        let end = starts
            .filter(|&next| next > start)
            .fold(range.end, |end, next| end.min(next));
        (start.min(range.end), end)
    }

    /// The number of octets that are assumed to be under way (RFC 6675, SetPipe).
    pub fn pipe(&self, window: (TcpSeqNumber, TcpSeqNumber), threshold: usize) -> usize {
        let under_way = |(hole, is_lost): (Range, bool)| match is_lost {
            false => hole.end - hole.start,
            true => {
                let part = |sent: &Retransmission| {
                    let start = sent.range.start.max(hole.start);
                    let end = sent.range.end.min(hole.end);
                    if start < end { end - start } else { 0 }
                };
                self.retransmitted.iter().map(part).sum()
            }
        };
        self.holes(window, threshold).map(under_way).sum()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const MSS: usize = 1000;

    fn seq(n: i32) -> TcpSeqNumber {
        TcpSeqNumber(i32::MAX - 2000).add_wrapping(n)
    }

    trait AddWrapping {
        fn add_wrapping(self, n: i32) -> Self;
    }
    impl AddWrapping for TcpSeqNumber {
        fn add_wrapping(self, n: i32) -> Self {
            TcpSeqNumber(self.0.wrapping_add(n))
        }
    }

    fn window() -> (TcpSeqNumber, TcpSeqNumber) {
        (seq(0), seq(10_000))
    }

    fn with(ranges: &[(i32, i32)]) -> Scoreboard {
        let mut board = Scoreboard::default();
        for &(start, end) in ranges {
            board.sack(window(), seq(start), seq(end));
        }
        board
    }

    #[test]
    fn ranges_outside_of_the_window_are_ignored() {
        let mut board = Scoreboard::default();
        for (start, end) in [
            (0, 1000),
            (-1000, 1000),
            (2000, 2000),
            (3000, 2000),
            (9000, 10_001),
            (i32::MIN, i32::MAX),
            (5000, i32::MIN),
        ] {
            assert!(!board.sack(window(), seq(start), seq(end)));
        }
        assert!(board.is_empty());
        assert!(board.sack(window(), seq(9000), seq(10_000)));
        assert!(!board.sack(window(), seq(9000), seq(10_000)));
    }

    #[test]
    fn ranges_are_merged_and_sorted() {
        let board = with(&[(5000, 6000), (2000, 3000), (3000, 5000)]);
        assert_eq!(board.sacked.len(), 1);
        assert_eq!(board.pipe(window(), usize::MAX), 6000);
        let board = with(&[(5000, 6000), (2000, 3000)]);
        assert_eq!(board.sacked[0].start, seq(2000));
    }

    #[test]
    fn a_hole_is_lost_once_enough_has_arrived_behind_it() {
        let mut board = with(&[(1000, 3000)]);
        assert_eq!(board.next_lost(window(), 3 * MSS), None);
        assert_eq!(board.pipe(window(), 3 * MSS), 8000);
        board.sack(window(), seq(3000), seq(4000));
        assert_eq!(
            board.next_lost(window(), 3 * MSS),
            Some((seq(0), seq(1000)))
        );
        assert_eq!(board.pipe(window(), 3 * MSS), 6000);
        board.retransmit(seq(0), seq(500), seq(10_000));
        assert_eq!(
            board.next_lost(window(), 3 * MSS),
            Some((seq(500), seq(1000)))
        );
        board.retransmit(seq(500), seq(1000), seq(10_000));
        assert_eq!(board.next_lost(window(), 3 * MSS), None);
        assert_eq!(board.pipe(window(), 3 * MSS), 7000);
    }

    #[test]
    fn a_retransmission_is_lost_if_something_later_arrives() {
        let mut board = with(&[(1000, 5000)]);
        board.retransmit(seq(0), seq(1000), seq(5000));
        board.detect_lost_retransmissions(MSS);
        assert!(board.has_retransmissions());
        board.sack(window(), seq(5000), seq(7000));
        board.detect_lost_retransmissions(MSS);
        assert_eq!(
            board.next_lost(window(), 3 * MSS),
            Some((seq(0), seq(1000)))
        );
    }

    #[test]
    fn after_a_timeout_all_that_has_not_arrived_is_lost() {
        let mut board = with(&[(1000, 2000)]);
        board.lose_to(seq(10_000));
        assert_eq!(board.pipe(window(), 3 * MSS), 0);
        board.retransmit(seq(0), seq(1000), seq(10_000));
        assert_eq!(
            board.next_lost(window(), 3 * MSS),
            Some((seq(2000), seq(10_000)))
        );
        board.advance(seq(2500));
        assert!(!board.has_retransmissions() && board.is_empty());
        assert_eq!(
            board.next_lost((seq(2500), seq(10_000)), 3 * MSS),
            Some((seq(2500), seq(10_000)))
        );
    }

    #[test]
    fn more_ranges_than_there_is_room_for() {
        let mut board = Scoreboard::default();
        let window = (seq(0), seq(1_000_000));
        for n in 1..1000 {
            board.sack(window, seq(n * 10), seq(n * 10 + 5));
        }
        assert_eq!(board.sacked.len(), ASSEMBLER_MAX_SEGMENT_COUNT);
        assert!(board.sack(window, seq(1), seq(2)));
        assert_eq!(board.sacked[0].start, seq(1));
        while let Some((start, _)) = board.next_lost(window, 1) {
            board.retransmit(start, start + 1, seq(1_000_000));
        }
        assert!(board.retransmitted.is_full());
    }
}
