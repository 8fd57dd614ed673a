//! Time limit of a guest: `--timeout`. When it expires, the guest is asked to end as by SIGTERM, with the same grace period;
//! the exit status is [`TIME_IS_UP`](husk_abi::fault::TIME_IS_UP) however the guest ends then.
//!
//! A guest of spt that has taken over the tender can block signals. So the kernel has a second timer, with a signal that cannot
//! be blocked, and behind that a limit on processor time; the filters allow no change of either.

#![expect(unsafe_code, reason = "limits of the process have no other interface")]

use crate::host::signals;
use crate::limits::rlimit;
use std::io;
use std::time::Duration;

/// Reads a time: `90s`, `500ms`, `5m` or `1h`; a number alone is in seconds.
pub fn parse(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    const MAXIMUM_MS: u64 = 1000 * 365 * 24 * 3_600_000;
    let with_unit = |(unit, length): &(&str, u64)| text.strip_suffix(unit).map(|number| (number, *length));
    let (number, length) = UNITS.iter().find_map(with_unit).unwrap_or((text, 1000));
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(length));
    let within = milliseconds.filter(|milliseconds| (1..=MAXIMUM_MS).contains(milliseconds));
    within.map(Duration::from_millis).ok_or_else(|| "write a time, such as 90s, 500ms, 5m or 1h".to_owned())
}

/// Longest delay of the end of the process after its deadline.
const MARGIN: Duration = Duration::from_secs(1);

/// Starts the guest's time, with a grace period after it, for the calling thread, which is the one that runs the guest.
pub fn start(after: Duration, grace_s: u64) -> io::Result<()> {
    let latest = after.saturating_add(Duration::from_secs(grace_s)).saturating_add(MARGIN);
    signals::receive_time_is_up()
        .and_then(|()| set(signals::Timer::new(libc::CLOCK_MONOTONIC, libc::SIGXCPU)?, after))
        .and_then(|()| set(signals::Timer::for_process(libc::CLOCK_MONOTONIC, libc::SIGKILL)?, latest))
        .and_then(|()| limit_processor_time(latest))
}

/// Arms a timer to send its signal once, after some time.
fn set(timer: signals::Timer, after: Duration) -> io::Result<()> {
    let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
    let value = libc::timespec { tv_sec: seconds, tv_nsec: after.subsec_nanos().into() };
    let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    timer.set(value, once)
}

/// Has the kernel end this process after as much processor time as all its processors have in `time`.
fn limit_processor_time(time: Duration) -> io::Result<()> {
    const RESOURCE: i32 = libc::RLIMIT_CPU as i32;
    let limit = rlimit::get(RESOURCE)?;
    let most = limit.rlim_max.min(time.as_secs().saturating_add(1).saturating_mul(processors()));
    // Both limits: at a lower soft limit alone, the kernel sends SIGXCPU, which means here that the time is up.
    rlimit::set(RESOURCE, libc::rlimit { rlim_cur: limit.rlim_cur.min(most), rlim_max: most })
}

/// Processors that this process may use.
fn processors() -> u64 {
    // SAFETY: all zeros is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a variable of ours, of the length passed.
    let known = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } == 0;
    // SAFETY: reads the variable, which is initialised.
    let count = unsafe { libc::CPU_COUNT(&set) } as u64;
    if known { count.max(1) } else { libc::CPU_SETSIZE as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, milliseconds) in
            [("90", 90_000), ("90s", 90_000), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "s", "0", "0ms", "-1s", "1.5s", "1d", "18446744073709551615h", "99999999999h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
