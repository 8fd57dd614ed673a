//! Keeps the guest's clock page true: see [`husk_abi::clock`].
//!
//! The guest's monotonic clock is the host's. The rate of the time stamp counter is only known to about a part in a
//! million, and the host's clock is disciplined from outside; so the page is corrected whenever the guest leaves the
//! VM and the last correction is old enough. A guest that was ahead is slowed down, never set back.

#![expect(unsafe_code, reason = "the clock page is shared with the guest, reached by pointer")]

use crate::memory::Memory;
use husk_abi::clock::{Page, Parameters};
use husk_abi::memory::CLOCK;
use std::ptr::NonNull;

/// Least time between two corrections, in nanoseconds.
const INTERVAL_NS: u64 = 100_000_000;
/// The same for a counter whose rate is not what it seems: some tenths of a second for any processor.
const INTERVAL_TICKS: u64 = 1 << 30;
/// How long a guest that is ahead takes to fall back into step, in nanoseconds.
const SLEW_NS: u64 = 1_000_000_000;

/// The time stamp counter and the monotonic clock at about the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    tsc: u64,
    monotonic_ns: u64,
}

impl Sample {
    /// Of now: the one that took least time of a few, as the thread may be stopped in between.
    pub fn take() -> Self {
        let take = |_| {
            let (before, monotonic_ns, after) = (counter(), monotonic_ns(), counter());
            (after.wrapping_sub(before), Self { tsc: before.wrapping_add(after) / 2, monotonic_ns })
        };
        let best = (0..4).map(take).min_by_key(|(took, _)| *took);
        best.map_or_else(|| Self { tsc: counter(), monotonic_ns: monotonic_ns() }, |(_, sample)| sample)
    }

    /// The counter's rate between an earlier sample and this one, as [`Parameters`] has it.
    fn rate_since(self, start: Self) -> u64 {
        let (ticks, ns) = (self.tsc.saturating_sub(start.tsc), self.monotonic_ns.saturating_sub(start.monotonic_ns));
        ((u128::from(ns) << 32) / u128::from(ticks.max(1))) as u64
    }
}

/// How fast the time stamp counter runs.
#[derive(Clone, Copy, Debug)]
pub enum Rate {
    /// So many kilohertz.
    Known(u32),
    /// As has been seen since this sample was taken: the better, the longer ago.
    Seen(Sample),
}

impl Rate {
    /// As [`Parameters::nanoseconds_per_tick`] has it.
    fn now(self) -> u64 {
        match self {
            Self::Known(khz) => Parameters::rate(khz),
            Self::Seen(start) => Sample::take().rate_since(start),
        }
    }
}

/// A guest's time stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// How far it is ahead of the host's, modulo 2^64.
    pub offset: u64,
    /// Its rate.
    pub rate: Rate,
}

impl Counter {
    /// Its value now.
    fn now(self) -> u64 {
        counter().wrapping_add(self.offset)
    }
}

/// The writer of one guest's clock page.
#[derive(Debug)]
pub struct Clock {
    page: NonNull<Page>,
    counter: Counter,
    published: Parameters,
}

impl Clock {
    /// Starts the clock of a guest with this counter.
    ///
    /// # Safety
    ///
    /// `page` points to the clock page of guest memory that outlives the clock and that only it writes. So far, it can.
    pub unsafe fn start(page: NonNull<Page>, counter: Counter) -> Self {
        let now = Parameters { nanoseconds_per_tick: counter.rate.now(), ..read_host(counter) };
        let clock = Self { page, counter, published: now };
        clock.publish();
        clock
    }

    /// Corrects the page, which is in `memory`, if it is time to: by the counter, which is faster to read than a clock.
    pub fn correct(&mut self, memory: &Memory) {
        let tsc = self.counter.now();
        // It may have begun anew with a host that has slept, or be far from where it was: then its rate tells nothing.
        let is_near = tsc.checked_sub(self.published.tsc).is_some_and(|ticks| ticks < INTERVAL_TICKS);
        if is_near && self.published.elapsed_ns(tsc) < self.interval_ns() {
            return;
        }
        let host = read_host(self.counter);
        self.published = corrected(self.published, host, self.counter.rate.now());
        memory.rewrite_own(CLOCK, || self.publish());
    }

    /// A rate that was seen for a moment only is looked at again when it has been seen for twice as long.
    fn interval_ns(&self) -> u64 {
        match self.counter.rate {
            Rate::Known(_) => INTERVAL_NS,
            Rate::Seen(start) => INTERVAL_NS.min(self.published.monotonic_ns.saturating_sub(start.monotonic_ns)),
        }
    }

    fn publish(&self) {
        // SAFETY: `start`'s caller vouched for the page; its fields are atomics, which the guest only reads.
        unsafe { self.page.as_ref() }.write(self.published);
    }
}

/// What to publish next, given what the guest computes with and what the host's clocks say.
fn corrected(published: Parameters, host: Parameters, rate: u64) -> Parameters {
    let guest_ns = published.monotonic_ns(host.tsc);
    let ahead_ns = guest_ns.saturating_sub(host.monotonic_ns);
    // Ahead by one part in a thousand at most is taken back within the slew time; more takes longer.
    let slower = (u128::from(rate) * u128::from(ahead_ns.min(SLEW_NS / 1000)) / u128::from(SLEW_NS)) as u64;
    Parameters {
        tsc: host.tsc,
        nanoseconds_per_tick: rate - slower,
        monotonic_ns: guest_ns.max(host.monotonic_ns),
        realtime_ns: host.realtime_ns,
    }
}

/// The host's clocks at one value of the guest's counter. The rate is left at 0.
fn read_host(counter: Counter) -> Parameters {
    let monotonic_ns = monotonic_ns();
    let tsc = counter.now();
    Parameters { tsc, nanoseconds_per_tick: 0, monotonic_ns, realtime_ns: nanoseconds(libc::CLOCK_REALTIME) }
}

/// The host's time stamp counter.
pub fn counter() -> u64 {
    // SAFETY: reading the counter has no preconditions on x86-64.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The host's monotonic clock.
pub fn monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// The same as of its last tick, some milliseconds ago: that is faster to read.
pub fn coarse_monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC_COARSE)
}

/// What is left until the monotonic clock reaches `deadline_ns`, as ppoll(2) takes it: nothing, for ever, for `u64::MAX`.
pub fn time_until(deadline_ns: u64) -> Option<libc::timespec> {
    let left_ns = (deadline_ns != u64::MAX).then(|| deadline_ns.saturating_sub(monotonic_ns()))?;
    let (seconds, nanoseconds) = (left_ns / 1_000_000_000, left_ns % 1_000_000_000);
    Some(libc::timespec { tv_sec: seconds as libc::c_long, tv_nsec: nanoseconds as libc::c_long })
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to fill; the clocks asked for always exist.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1 << 32;

    fn at(tsc: u64, monotonic_ns: u64) -> Parameters {
        Parameters { tsc, nanoseconds_per_tick: RATE, monotonic_ns, realtime_ns: 0 }
    }

    #[test]
    fn a_rate_is_seen_between_two_samples() {
        let (start, end) = (Sample { tsc: 1, monotonic_ns: 5 }, Sample { tsc: 2_500_001, monotonic_ns: 1_000_005 });
        assert_eq!(end.rate_since(start), Parameters::rate(2_500_000));
        assert_eq!(start.rate_since(end), 0, "neither goes backwards");
    }

    #[test]
    fn a_guest_behind_is_set_forward() {
        let next = corrected(at(0, 0), at(1_000_000, 1_000_500), RATE);
        assert_eq!((next.monotonic_ns, next.nanoseconds_per_tick), (1_000_500, RATE));
    }

    #[test]
    fn a_guest_ahead_is_slowed_and_never_set_back() {
        let next = corrected(at(0, 0), at(1_000_000, 999_500), RATE);
        assert_eq!(next.monotonic_ns, 1_000_000);
        assert!(next.nanoseconds_per_tick < RATE);
        let a_second_later = next.monotonic_ns(1_000_000 + 1_000_000_000);
        assert!(a_second_later.abs_diff(999_500 + 1_000_000_000) < 10, "back in step after the slew time");
    }
}
