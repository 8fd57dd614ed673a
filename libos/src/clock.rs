//! Linux's clocks, by the numbers of clock_gettime(2), in nanoseconds.

use crate::errno::Errno;
use crate::processor_time;
use linux_raw_sys::general as linux;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Time base of a clock's deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Time since an arbitrary start.
    Monotonic,
    /// Wall-clock time.
    Realtime,
}

/// Time base of the clock `id`. Waits on clocks of processor time are measured by elapsed time.
#[inline]
pub fn base(id: i32) -> Result<Base, Errno> {
    match id as u32 {
        linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_BOOTTIME
        | linux::CLOCK_PROCESS_CPUTIME_ID
        | linux::CLOCK_THREAD_CPUTIME_ID => Ok(Base::Monotonic),
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_TAI => Ok(Base::Realtime),
        _ => Err(Errno::EINVAL),
    }
}

/// Current time of the clock `id`.
#[inline]
pub fn read(id: i32) -> Result<u64, Errno> {
    match id as u32 {
        linux::CLOCK_PROCESS_CPUTIME_ID => Ok(processor_time::of_program()),
        linux::CLOCK_THREAD_CPUTIME_ID => Ok(processor_time::of_thread()),
        _ => base(id).map(now),
    }
}

/// Current time.
#[inline]
pub fn now(base: Base) -> u64 {
    match base {
        Base::Monotonic => husk::clock::monotonic_ns(),
        Base::Realtime => husk::clock::realtime_ns(),
    }
}

/// Monotonic time at which a clock shows `time`, as of now.
pub fn to_monotonic(base: Base, time: u64) -> u64 {
    match base {
        Base::Monotonic => time,
        Base::Realtime => {
            let now = husk::clock::monotonic_ns();
            now.saturating_add(time.saturating_sub(husk::clock::realtime_ns()))
        }
    }
}

/// A `struct timespec`: seconds and nanoseconds.
pub type Timespec = [i64; 2];

/// Converts nanoseconds to a `struct timespec`.
#[inline]
pub fn to_timespec(ns: u64) -> Timespec {
    [(ns / SECOND) as i64, (ns % SECOND) as i64]
}

/// Converts a `struct timespec` to nanoseconds, saturating; EINVAL if it is negative or not normalised.
pub fn from_timespec([seconds, nanoseconds]: Timespec) -> Result<u64, Errno> {
    match (u64::try_from(seconds), u64::try_from(nanoseconds)) {
        (Ok(seconds), Ok(nanoseconds)) if nanoseconds < SECOND => {
            Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
        }
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_trip() {
        assert_eq!(from_timespec(to_timespec(12_345_678_901)), Ok(12_345_678_901));
        assert_eq!(from_timespec([i64::MAX, 0]), Ok(u64::MAX));
        assert_eq!(from_timespec([0, 1_000_000_000]), Err(Errno::EINVAL));
        assert_eq!(from_timespec([-1, 0]), Err(Errno::EINVAL));
    }
}
