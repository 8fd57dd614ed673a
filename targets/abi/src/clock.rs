//! The clock page: parameters by which a guest converts the time stamp counter to nanoseconds without an exit.
//!
//! The tender may rewrite the page at any time (a restore, a correction), so a sequence lock guards it: the number is odd while
//! the tender writes. A reader takes the number, reads the rest, and starts over if the number was odd or has changed. Within
//! one run the monotonic time never goes back.
//!
//! The page holds for a [`limit`](Page::limit) only, because the host's clock is disciplined from outside, and the counter can
//! jump where a host sleeps or migrates. A reader with a counter before the page's or beyond the limit makes the call
//! [`Time`](crate::call::Number::Time), which updates the page to the present, and reads it again. If the page does not hold
//! even then, the counter is useless, and the time is that of the base. Thus a guest that computes without any other call has
//! the right time, and a guest that does not read the clock is not interrupted for it.

/// The page. All fields but `sequence` are stable while `sequence` is even and unchanged.
#[derive(Debug)]
#[repr(C)]
pub struct Page {
    /// Odd while the tender writes; increased by two for each change.
    pub sequence: core::sync::atomic::AtomicU32,
    /// Padding.
    pub reserved: u32,
    /// Counter value at `monotonic_ns`.
    pub tsc: core::sync::atomic::AtomicU64,
    /// Nanoseconds per counter tick, times 2^32.
    pub nanoseconds_per_tick: core::sync::atomic::AtomicU64,
    /// Monotonic time at `tsc`, in nanoseconds since an arbitrary start.
    pub monotonic_ns: core::sync::atomic::AtomicU64,
    /// Wall-clock time at `tsc`, in nanoseconds since 1970-01-01 00:00 UTC.
    pub realtime_ns: core::sync::atomic::AtomicU64,
    /// Number of counter ticks after `tsc` for which the page holds; 0 for no limit.
    pub limit: core::sync::atomic::AtomicU64,
}

/// A consistent reading of the page's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// See [`Page::tsc`].
    pub tsc: u64,
    /// See [`Page::nanoseconds_per_tick`].
    pub nanoseconds_per_tick: u64,
    /// See [`Page::monotonic_ns`].
    pub monotonic_ns: u64,
    /// See [`Page::realtime_ns`].
    pub realtime_ns: u64,
    /// See [`Page::limit`].
    pub limit: u64,
}

impl Parameters {
    /// Returns true if the parameters hold at the counter value `tsc`.
    #[inline]
    pub fn hold_at(&self, tsc: u64) -> bool {
        // A counter before the base is beyond every limit.
        tsc.wrapping_sub(self.tsc) <= self.limit.wrapping_sub(1)
    }

    /// Nanoseconds between [`Parameters::tsc`] and the counter value `tsc`: 0 if `tsc` lies before the base; capped at the
    /// limit.
    #[inline]
    pub fn elapsed_ns(&self, tsc: u64) -> u64 {
        let ticks = tsc.saturating_sub(self.tsc).min(self.limit.wrapping_sub(1));
        ((u128::from(ticks) * u128::from(self.nanoseconds_per_tick)) >> 32) as u64
    }

    /// Monotonic time at the counter value `tsc`, in nanoseconds.
    #[inline]
    pub fn monotonic_ns(&self, tsc: u64) -> u64 {
        self.monotonic_ns.wrapping_add(self.elapsed_ns(tsc))
    }

    /// Wall-clock time at the counter value `tsc`, in nanoseconds since 1970-01-01 00:00 UTC.
    #[inline]
    pub fn realtime_ns(&self, tsc: u64) -> u64 {
        self.realtime_ns.wrapping_add(self.elapsed_ns(tsc))
    }

    /// [`Parameters::nanoseconds_per_tick`] for a counter that runs at `khz` kilohertz.
    pub fn rate(khz: u32) -> u64 {
        (1_000_000u64 << 32).checked_div(u64::from(khz)).unwrap_or(0)
    }
}

impl Page {
    /// Publishes `to` under the sequence lock.
    pub fn write(&self, to: Parameters) {
        use core::sync::atomic::{Ordering::*, fence};
        let before = self.sequence.load(Relaxed);
        self.sequence.store(before.wrapping_add(1), Relaxed);
        fence(Release);
        self.tsc.store(to.tsc, Relaxed);
        self.nanoseconds_per_tick.store(to.nanoseconds_per_tick, Relaxed);
        self.monotonic_ns.store(to.monotonic_ns, Relaxed);
        self.realtime_ns.store(to.realtime_ns, Relaxed);
        self.limit.store(to.limit, Relaxed);
        self.sequence.store(before.wrapping_add(2), Release);
    }

    /// Reads a consistent set of parameters; spins while the tender writes.
    #[inline]
    pub fn read(&self) -> Parameters {
        use core::sync::atomic::{Ordering::*, fence};
        loop {
            let before = self.sequence.load(Acquire);
            let parameters = Parameters {
                tsc: self.tsc.load(Relaxed),
                nanoseconds_per_tick: self.nanoseconds_per_tick.load(Relaxed),
                monotonic_ns: self.monotonic_ns.load(Relaxed),
                realtime_ns: self.realtime_ns.load(Relaxed),
                limit: self.limit.load(Relaxed),
            };
            fence(Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
                return parameters;
            }
            core::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_at_2_5_ghz_advances_a_second_in_a_second() {
        let at = Parameters {
            tsc: 1_000,
            nanoseconds_per_tick: Parameters::rate(2_500_000),
            monotonic_ns: 7,
            realtime_ns: 9,
            limit: 0,
        };
        let later = 1_000 + 2_500_000_000;
        assert!(at.monotonic_ns(later).abs_diff(1_000_000_007) < 2);
        assert!(at.realtime_ns(later).abs_diff(1_000_000_009) < 2);
        assert_eq!(at.monotonic_ns(0), 7, "a counter before the base does not run backwards");
    }

    #[test]
    fn parameters_hold_from_their_base_to_their_limit() {
        let rate = Parameters::rate(1_000_000);
        let at = Parameters { tsc: 1_000, nanoseconds_per_tick: rate, monotonic_ns: 7, realtime_ns: 9, limit: 500 };
        assert!(at.hold_at(1_000) && at.hold_at(1_499));
        assert!(!at.hold_at(999) && !at.hold_at(1_500) && !at.hold_at(0) && !at.hold_at(u64::MAX));
        assert_eq!((at.monotonic_ns(1_499), at.monotonic_ns(1 << 40)), (506, 506), "time stops at the limit");
        let always = Parameters { limit: 0, ..at };
        assert!(always.hold_at(1_000) && always.hold_at(1 << 60) && always.monotonic_ns(1 << 40) > 1 << 39);
        let never = Parameters { limit: 1, ..at };
        assert!(!never.hold_at(1_001) && never.monotonic_ns(1 << 40) == 7);
    }

    #[test]
    fn what_is_written_is_read() {
        let page = Page {
            sequence: Default::default(),
            reserved: 0,
            tsc: Default::default(),
            nanoseconds_per_tick: Default::default(),
            monotonic_ns: Default::default(),
            realtime_ns: Default::default(),
            limit: Default::default(),
        };
        let parameters = Parameters { tsc: 1, nanoseconds_per_tick: 2, monotonic_ns: 3, realtime_ns: 4, limit: 5 };
        page.write(parameters);
        assert_eq!(page.read(), parameters);
    }
}
