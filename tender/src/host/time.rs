//! The host's clocks.

#![expect(unsafe_code, reason = "clocks are read by system call")]

/// The host's monotonic clock.
pub fn monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// The host's monotonic clock at its last tick, some milliseconds ago, which is faster to read.
pub fn coarse_monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC_COARSE)
}

/// Time left until the monotonic clock reaches `deadline_ns`, as ppoll(2) takes it: `None`, for ever, for `u64::MAX`.
pub fn time_until(deadline_ns: u64) -> Option<libc::timespec> {
    let left_ns = (deadline_ns != u64::MAX).then(|| deadline_ns.saturating_sub(monotonic_ns()))?;
    let (seconds, nanoseconds) = (left_ns / 1_000_000_000, left_ns % 1_000_000_000);
    Some(libc::timespec { tv_sec: seconds as libc::c_long, tv_nsec: nanoseconds as libc::c_long })
}

/// Time of a clock of the host (clock_gettime(2)), in nanoseconds.
pub fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to fill; the clocks asked for always exist.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
