//! Computes the next contents of the clock page from readings of the clocks: pure, so that tests can simulate any host.
//!
//! The guest's clock follows the host's monotonic clock. Between two corrections it runs at a rate that is measured over
//! the last seconds, because KVM's rate is a constant, and the host's clock is disciplined. A correction never sets the
//! guest back: a guest that is ahead gets a lower rate. A counter can also jump, where the host sleeps or moves: one
//! deviation restarts the measurement, and a second one with the same rate is accepted as the new rate.

use husk_abi::clock::Parameters;

/// Nanoseconds for which a page holds if its rate is good: a guest that only reads the clock exits for a correction that
/// often. The host's clock is disciplined by 500 parts in a million at most (adjtimex(2)), so the error is at most 125 us
/// then.
const LIMIT_NS: u64 = 250_000_000;
/// Nanoseconds for which a page holds after an unexpected reading.
const DOUBT_NS: u64 = 10_000_000;
/// Least age of a page that is corrected at an exit with another reason, in nanoseconds.
const INTERVAL_NS: u64 = 100_000_000;
/// Error that a guest should have at the limit, in nanoseconds: the limit is adapted to this.
const TOLERANCE_NS: u64 = 200_000;
/// Nanoseconds over which a guest that is ahead is slewed, and the most that is taken back in that time.
const SLEW_NS: u64 = LIMIT_NS;
const SLEW_MAXIMUM_NS: u64 = SLEW_NS / 10;
/// Nanoseconds from which on a measured rate is better than KVM's, and half the length of later measurements.
const SHORT_NS: u64 = 50_000_000;
const LONG_NS: u64 = 1_000_000_000;
/// Nanoseconds by which two readings of the clocks may disagree, because the thread may be stopped in between.
const NOISE_NS: u64 = 1_000_000;
/// Exponent of the tolerance: two measured rates are the same if they differ by at most 2^-SAME of one.
const SAME: u32 = 6;
/// Nanoseconds by which the distance of the wall clock from the monotonic one must change to count as a change.
const WALL_STEP_NS: u64 = 10_000;

/// A moment, by all clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The host's time stamp counter.
    pub host: u64,
    /// The guest's time stamp counter.
    pub guest: u64,
    /// The host's monotonic clock.
    pub monotonic_ns: u64,
    /// The host's wall clock.
    pub realtime_ns: u64,
}

impl Moment {
    /// Returns the rate of the guest's counter since an earlier moment, in the unit of [`Parameters::nanoseconds_per_tick`].
    fn rate_since(&self, start: &Self) -> Option<u64> {
        let ticks = self.guest.checked_sub(start.guest).filter(|ticks| *ticks > 0)?;
        let ns = self.monotonic_ns.saturating_sub(start.monotonic_ns);
        u64::try_from((u128::from(ns) << 32) / u128::from(ticks)).ok()
    }
}

/// State of a guest's clock.
#[derive(Debug)]
pub struct Keeper {
    published: Parameters,
    /// Moment of the publication.
    at: Moment,
    /// Starts of the current measurement of the rate, and of the next one.
    old: Moment,
    young: Moment,
    /// The rate, unslewed, and a flag that it comes from a measurement so short that any other is better.
    rate: u64,
    is_rough: bool,
    /// Rate between the last two corrections, if it was unexpected.
    doubt: Option<u64>,
    limit_ns: u64,
    /// The counter is unusable: the guest asks for each time.
    asks: bool,
    /// Most nanoseconds that the guest was ahead.
    ahead_ns: u64,
}

impl Keeper {
    /// Starts at `now`. The counter runs at `khz`, or as it has since `began` if that is unknown; `steady` is true if it
    /// is the same on all processors of the host.
    pub fn start(began: &Moment, now: &Moment, khz: Option<u32>, steady: bool) -> Self {
        let known = khz.map(Parameters::rate).filter(|rate| *rate > 0);
        let rate = known.or_else(|| now.rate_since(began)).unwrap_or(1 << 32);
        let limit_ns = if known.is_some() { LIMIT_NS } else { DOUBT_NS };
        let start = if known.is_some() { now } else { began };
        let published = Parameters {
            tsc: now.guest,
            nanoseconds_per_tick: rate,
            monotonic_ns: now.monotonic_ns,
            realtime_ns: now.realtime_ns,
            limit: 1,
        };
        let mut keeper = Self {
            published,
            at: *now,
            old: *start,
            young: *now,
            rate,
            is_rough: known.is_none(),
            doubt: None,
            limit_ns,
            asks: !steady,
            ahead_ns: 0,
        };
        keeper.published.limit = keeper.limit();
        keeper
    }

    /// Returns the contents of the page.
    pub fn published(&self) -> Parameters {
        self.published
    }

    /// Returns true if the page is to be corrected, by the host's counter alone, which is faster to read than a clock. A
    /// counter below the last reading has restarted.
    pub fn is_due(&self, host: u64) -> bool {
        let interval_ns = self.limit_ns.min(INTERVAL_NS);
        host.checked_sub(self.at.host).is_none_or(|ticks| nanoseconds(ticks, self.rate) >= interval_ns)
    }

    /// Corrects the page at `now`; the guest has not run since the host's counter had the value `left`.
    pub fn correct(&mut self, now: &Moment, left: u64) {
        let elapsed_ns = now.monotonic_ns.saturating_sub(self.at.monotonic_ns);
        let counted_ns = now.guest.checked_sub(self.at.guest).map(|ticks| nanoseconds(ticks, self.rate));
        let off_ns = counted_ns.map_or(u64::MAX, |counted_ns| counted_ns.abs_diff(elapsed_ns));
        if off_ns > (elapsed_ns >> SAME).saturating_add(NOISE_NS) {
            self.suspect(now);
        } else {
            self.measure(now);
            self.adapt(off_ns, elapsed_ns);
        }
        let seen_ns = self.seen(now, left, counted_ns.unwrap_or(0) > elapsed_ns.saturating_mul(2) + NOISE_NS);
        let monotonic_ns = seen_ns.max(now.monotonic_ns);
        let ahead_ns = monotonic_ns - now.monotonic_ns;
        self.ahead_ns = self.ahead_ns.max(ahead_ns.min(NOISE_NS));
        let slower = u128::from(self.rate) * u128::from(ahead_ns.min(SLEW_MAXIMUM_NS)) / u128::from(SLEW_NS);
        self.published = Parameters {
            tsc: now.guest,
            nanoseconds_per_tick: self.rate - slower as u64,
            monotonic_ns,
            realtime_ns: monotonic_ns.wrapping_add(self.wall(now)),
            limit: self.limit(),
        };
        self.at = *now;
    }

    /// Returns the latest time that the guest can have read: its clock at the last exit, or at its limit.
    fn seen(&self, now: &Moment, left: u64, jumped: bool) -> u64 {
        let ticks = now.guest.saturating_sub(self.published.tsc);
        let counted_ns = nanoseconds(ticks, self.published.nanoseconds_per_tick);
        let ran_ns = match (left.checked_sub(self.at.host), now.host.checked_sub(self.at.host)) {
            (Some(ran), Some(all @ 1..)) if ran <= all => u128::from(counted_ns) * u128::from(ran) / u128::from(all),
            _ => u128::from(counted_ns),
        };
        let most_ns = self.published.elapsed_ns(u64::MAX);
        let seen_ns = self.published.monotonic_ns.saturating_add((ran_ns as u64).min(most_ns));
        // The host's clock continues where it was, so the guest has seen at most that time, plus how far it was ahead.
        let most_ns = now.monotonic_ns.saturating_add(self.ahead_ns);
        let has_restarted = now.guest < self.at.guest;
        if has_restarted {
            most_ns.max(self.published.monotonic_ns)
        } else if jumped {
            seen_ns.min(most_ns.max(self.published.monotonic_ns))
        } else {
            seen_ns
        }
    }

    /// Handles an unexpected reading: either the counter or the clock has jumped, or the rate has changed.
    fn suspect(&mut self, now: &Moment) {
        let rate = now.rate_since(&self.at).filter(|rate| *rate > 0);
        let is_same = |one: u64, two: u64| one.abs_diff(two) <= one >> SAME;
        match (self.doubt.take(), rate) {
            (Some(doubt), Some(rate)) if is_same(doubt, rate) => {
                (self.rate, self.is_rough, self.old) = (rate, true, self.at);
            }
            _ => {
                self.doubt = rate;
                self.old = *now;
            }
        }
        self.young = *now;
        self.limit_ns = DOUBT_NS;
    }

    /// Measures the rate, over some seconds if that many have passed.
    fn measure(&mut self, now: &Moment) {
        self.doubt = None;
        let since = |start: &Moment| now.monotonic_ns.saturating_sub(start.monotonic_ns);
        let is_long = since(&self.old) >= SHORT_NS;
        if is_long || self.is_rough {
            self.rate = now.rate_since(&self.old).filter(|rate| *rate > 0).unwrap_or(self.rate);
            self.is_rough &= !is_long;
        }
        if since(&self.young) >= LONG_NS {
            (self.old, self.young) = (self.young, *now);
        }
    }

    /// Adapts the limit to the error that is tolerated, after an error of `off_ns` in `elapsed_ns`.
    fn adapt(&mut self, off_ns: u64, elapsed_ns: u64) {
        let at_limit = u128::from(off_ns) * u128::from(self.limit_ns) / u128::from(elapsed_ns.max(1));
        if at_limit > u128::from(TOLERANCE_NS) {
            self.limit_ns = (self.limit_ns / 2).max(DOUBT_NS / 10);
        } else if at_limit < u128::from(TOLERANCE_NS / 4) {
            self.limit_ns = (self.limit_ns * 2).min(LIMIT_NS);
        }
    }

    /// Returns the limit in ticks of the guest's counter, for [`Parameters::limit`].
    fn limit(&self) -> u64 {
        let ticks = (u128::from(self.limit_ns) << 32) / u128::from(self.rate.max(1));
        if self.asks { 1 } else { u64::try_from(ticks).unwrap_or(u64::MAX).max(1) }
    }

    /// Returns the wall clock's distance from the monotonic one: the previous one, unless the wall clock has been set.
    fn wall(&self, now: &Moment) -> u64 {
        let before = self.published.realtime_ns.wrapping_sub(self.published.monotonic_ns);
        let after = now.realtime_ns.wrapping_sub(now.monotonic_ns);
        let change = after.wrapping_sub(before) as i64;
        if change.unsigned_abs() < WALL_STEP_NS { before } else { after }
    }
}

/// Converts ticks to nanoseconds.
fn nanoseconds(ticks: u64, rate: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(rate)) >> 32).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
