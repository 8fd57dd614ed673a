//! Test of every sequence of a few uses against the definition of a token bucket: the level at a time is the least of the
//! levels that a full bucket at any earlier moment would have left. The definition keeps no state, so it shares no rounding
//! with the bucket.

use super::*;

/// A use: nanoseconds that pass before it, and its cost.
type Use = (u64, usize);

const BEGAN_NS: u64 = 17;
/// Uses in a sequence.
const DEPTH: usize = 4;
/// Nanoseconds between two uses: none, the fewest, parts of a token and more than a burst of a slow rate.
const PAUSES_NS: [u64; 5] = [0, 1, 2, 333_333_333, 2_000_000_001];
/// Costs: nothing, a token, more than any burst below.
const COSTS: [usize; 4] = [0, 1, 6, usize::MAX];
/// Rates below, at and above a token a nanosecond, and the highest.
const RATES: [u64; 7] = [1, 3, 7, 600_000_000, 999_999_999, 1_000_000_007, 1 << 50];
const BURSTS: [u64; 3] = [1, 2, 5];

/// Time from which a bucket can be used, by the definition. `uses` are the uses so far, each with its time; all are before
/// `now_ns`.
fn defined(rate: Rate, uses: &[(u64, usize)], now_ns: u64) -> u64 {
    let (full, per_ns) = (i128::from(rate.burst) * TOKEN, i128::from(rate.per_second));
    let costs = |since: usize| uses[since..].iter().map(|(_, cost)| *cost as i128 * TOKEN).sum::<i128>();
    let moments = uses.iter().map(|(at_ns, _)| *at_ns).enumerate();
    // Moments at which the bucket is assumed full: now, the start, and right before any use.
    let moments = moments.chain([(uses.len(), now_ns), (0, BEGAN_NS)]);
    let left = moments.map(|(since, at_ns)| full + per_ns * i128::from(now_ns - at_ns) - costs(since)).min();
    let missing = TOKEN - left.expect("there is a start");
    if missing <= 0 {
        return now_ns;
    }
    let wait_ns = missing / per_ns + i128::from(missing % per_ns != 0);
    u64::try_from(i128::from(now_ns) + wait_ns).unwrap_or(u64::MAX)
}

/// Tries all sequences that begin with `uses`; returns the number of uses checked.
fn explore(rate: Rate, bucket: &Bucket, uses: &mut Vec<(u64, usize)>, all: &[Use]) -> u64 {
    if uses.len() == DEPTH {
        return 0;
    }
    let before_ns = uses.last().map_or(BEGAN_NS, |(at_ns, _)| *at_ns);
    let mut checked = 0;
    for &(pause_ns, cost) in all {
        let (mut bucket, now_ns) = (bucket.clone(), before_ns + pause_ns);
        let opens_ns = bucket.opens_ns(now_ns);
        assert_eq!(opens_ns, defined(rate, uses, now_ns), "{rate:?} after {uses:?}, at {now_ns}");
        assert_eq!(bucket.opens_ns(now_ns), opens_ns, "a question changes nothing");
        bucket.take(cost);
        uses.push((now_ns, cost));
        checked += 1 + explore(rate, &bucket, uses, all);
        uses.pop();
    }
    checked
}

#[test]
fn every_sequence_of_uses_goes_as_a_token_bucket_is_defined() {
    let all: Vec<Use> = PAUSES_NS.into_iter().flat_map(|pause_ns| COSTS.map(|cost| (pause_ns, cost))).collect();
    let mut checked = 0;
    for (per_second, burst) in RATES.into_iter().flat_map(|rate| BURSTS.map(|burst| (rate, burst))) {
        let rate = Rate::new(per_second, Some(burst));
        checked += explore(rate, &Bucket::new(Some(rate), BEGAN_NS), &mut vec![], &all);
    }
    let length = all.len() as u64;
    let sequences: u64 = (1..=DEPTH as u32).map(|depth| length.pow(depth)).sum();
    assert_eq!(checked, sequences * (RATES.len() * BURSTS.len()) as u64);
}

#[test]
fn a_bucket_that_is_asked_all_the_time_keeps_its_rate() {
    const PER_SECOND: u64 = 600_000_000;
    const BURST: u64 = 2;
    let rate = Rate::new(PER_SECOND, Some(BURST));
    let (mut bucket, mut through) = (Bucket::new(Some(rate), 0), 0);
    let end_ns = 100_000;
    for now_ns in 0..=end_ns {
        if bucket.opens_ns(now_ns) == now_ns {
            bucket.take(1);
            through += 1;
        }
    }
    assert_eq!(through, BURST + PER_SECOND * end_ns / 1_000_000_000);
}
