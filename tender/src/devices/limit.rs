//! Rate limit of a device: a token bucket that fills at a rate, up to a burst.
//!
//! A use passes if at least one token is left, whatever the use costs; the cost beyond the tokens left becomes a debt. So a use
//! larger than the burst passes as well, and the rate still holds.

/// Limit set by the user, in units per second and units; a unit is a byte, or an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// Limit in units per second and units at once, by default a tenth of a second's units. Both are at least 1.
    pub fn new(per_second: u64, burst: Option<u64>) -> Self {
        let per_second = per_second.clamp(1, 1 << 50);
        Self { per_second, burst: burst.unwrap_or(per_second / 10).clamp(1, 1 << 50) }
    }

    /// Level of a full bucket.
    fn full(self) -> i128 {
        i128::from(self.burst) * TOKEN
    }
}

/// A token bucket; without a rate it is never empty.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Option<Rate>,
    /// Level in billionths of a token: a rate of one per second gains one of them per nanosecond, so nothing is rounded.
    level: i128,
    filled_ns: u64,
}

/// A token, in units of the level.
const TOKEN: i128 = 1_000_000_000;
/// Greatest debt that is restored: far more than any that can arise, and far from the end of the numbers.
const LEVEL_MINIMUM: i128 = -(1 << 120);

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Option<Rate>, now_ns: u64) -> Self {
        Self { rate, level: rate.map_or(TOKEN, Rate::full), filled_ns: now_ns }
    }

    /// Level, in billionths of a token; negative for a debt.
    pub fn level(&self) -> i128 {
        self.level
    }

    /// Continues from any level, brought into its bounds.
    pub fn restore(&mut self, level: i128, now_ns: u64) {
        if let Some(rate) = self.rate {
            self.level = level.clamp(LEVEL_MINIMUM, rate.full());
        }
        self.filled_ns = now_ns;
    }

    /// Returns true if the bucket can be empty.
    pub fn is_bounded(&self) -> bool {
        self.rate.is_some()
    }

    /// Monotonic time from which the bucket can be used, in nanoseconds: `now_ns` or later.
    pub fn opens_ns(&mut self, now_ns: u64) -> u64 {
        let Some(rate) = self.rate else { return now_ns };
        let per_ns = i128::from(rate.per_second);
        let gained = i128::from(now_ns.saturating_sub(self.filled_ns)) * per_ns;
        self.level = (self.level + gained).min(rate.full());
        self.filled_ns = self.filled_ns.max(now_ns);
        match TOKEN - self.level {
            missing @ 1.. => {
                let wait_ns = (missing + per_ns - 1) / per_ns;
                self.filled_ns.saturating_add(wait_ns.try_into().unwrap_or(u64::MAX))
            }
            _ => now_ns,
        }
    }

    /// Takes the cost of a use.
    pub fn take(&mut self, cost: usize) {
        if self.rate.is_some() {
            // Only after 2^33 uses of the greatest cost could the level reach the least number.
            self.level = self.level.saturating_sub(cost as i128 * TOKEN);
        }
    }
}

#[cfg(test)]
mod exhaustive;

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses a bucket as fast as possible for some seconds; returns the total cost that passed.
    fn used(rate: Rate, cost: usize, seconds: u64) -> u64 {
        let (mut bucket, mut now_ns, mut total) = (Bucket::new(Some(rate), 5), 5, 0);
        let end_ns = 5 + seconds * 1_000_000_000;
        loop {
            let opens_ns = bucket.opens_ns(now_ns);
            if opens_ns > end_ns {
                return total;
            }
            if opens_ns == now_ns {
                bucket.take(cost);
                total += cost as u64;
            }
            now_ns = opens_ns;
        }
    }

    #[test]
    fn in_the_long_run_the_rate_is_kept_after_one_burst() {
        for (rate, cost) in [(Rate::new(1_000_000, Some(50_000)), 1500), (Rate::new(1_000_000, None), 64_000)] {
            let total = used(rate, cost, 20);
            assert!(total.abs_diff(20_000_000 + rate.burst) <= cost as u64, "{total}");
        }
        assert!((700..=701).contains(&used(Rate::new(7, Some(1)), 1, 100)));
        assert!(used(Rate::new(1, Some(1)), 1000, 3000).abs_diff(3001) <= 1000, "what is larger than the burst");
    }

    #[test]
    fn a_bucket_that_was_left_alone_holds_one_burst() {
        let mut bucket = Bucket::new(Some(Rate::new(10, Some(3))), 0);
        (0..3).for_each(|_| bucket.take(1));
        assert!(bucket.opens_ns(0) > 0);
        let later_ns = 3600 * 1_000_000_000;
        for _ in 0..3 {
            assert_eq!(bucket.opens_ns(later_ns), later_ns);
            bucket.take(1);
        }
        assert_eq!(bucket.opens_ns(later_ns), later_ns + 100_000_000);
    }

    #[test]
    fn a_level_is_continued_within_its_bounds() {
        let (rate, now_ns) = (Rate::new(10, Some(3)), 1 << 60);
        let mut bucket = Bucket::new(Some(rate), 0);
        bucket.take(5);
        let (level, opens_ns) = (bucket.level(), bucket.opens_ns(0));
        let mut restored = Bucket::new(Some(rate), 0);
        restored.restore(level, now_ns);
        assert_eq!(restored.opens_ns(now_ns), now_ns + opens_ns);
        restored.restore(i128::MAX, now_ns);
        assert_eq!(restored.level(), rate.full());
        restored.restore(i128::MIN, now_ns);
        assert_eq!(restored.opens_ns(now_ns), u64::MAX);
        restored.take(usize::MAX);
        assert_eq!(restored.opens_ns(u64::MAX), u64::MAX);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut bucket = Bucket::new(None, 0);
        bucket.take(usize::MAX);
        assert_eq!(bucket.opens_ns(7), 7);
    }
}
