//! The clock page: how a guest turns the time stamp counter into nanoseconds without leaving the VM.
//!
//! The tender may rewrite the page at any time (a restore, a correction), so it is guarded by a sequence number: odd
//! while the tender writes. A reader takes the number, reads the rest, and starts over if the number was odd or has
//! changed. Within one run the monotonic time never goes back.

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
}

/// One consistent reading of the page's parameters.
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
}

impl Parameters {
    /// Nanoseconds between [`Parameters::tsc`] and the counter value `tsc`; 0 if it lies before.
    #[inline]
    pub fn elapsed_ns(&self, tsc: u64) -> u64 {
        let ticks = u128::from(tsc.saturating_sub(self.tsc));
        ((ticks * u128::from(self.nanoseconds_per_tick)) >> 32) as u64
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
    /// Publishes `to`.
    pub fn write(&self, to: Parameters) {
        use core::sync::atomic::{Ordering::*, fence};
        let before = self.sequence.load(Relaxed);
        self.sequence.store(before.wrapping_add(1), Relaxed);
        fence(Release);
        self.tsc.store(to.tsc, Relaxed);
        self.nanoseconds_per_tick.store(to.nanoseconds_per_tick, Relaxed);
        self.monotonic_ns.store(to.monotonic_ns, Relaxed);
        self.realtime_ns.store(to.realtime_ns, Relaxed);
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
        };
        let later = 1_000 + 2_500_000_000;
        assert!(at.monotonic_ns(later).abs_diff(1_000_000_007) < 2);
        assert!(at.realtime_ns(later).abs_diff(1_000_000_009) < 2);
        assert_eq!(at.monotonic_ns(0), 7, "a counter before the base does not run backwards");
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
        };
        let parameters = Parameters { tsc: 1, nanoseconds_per_tick: 2, monotonic_ns: 3, realtime_ns: 4 };
        page.write(parameters);
        assert_eq!(page.read(), parameters);
    }
}
