//! The time that a guest has: `--timeout`. When it is over, the guest is told to end as by SIGTERM, with the same time of
//! grace; the exit status is [`TIME_IS_UP`](husk_abi::fault::TIME_IS_UP) however it ends then.

use crate::error::Error;
use crate::signals;
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

/// Lets the guest's time begin, for the thread that runs it, which is the calling one.
pub fn start(after: Duration) -> Result<(), Error> {
    let value = libc::timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() };
    let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    signals::receive_time_is_up()
        .and_then(|()| signals::Timer::new(libc::CLOCK_MONOTONIC, libc::SIGXCPU)?.set(value, once))
        .map_err(Error::NoTimer)
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
