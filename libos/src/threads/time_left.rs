//! Time left of a sleep that a signal ends: nanosleep(2) and clock_nanosleep(2) write it to the program.

use crate::{clock, user};
use linux_raw_sys::general::{__NR_clock_nanosleep, __NR_nanosleep, TIMER_ABSTIME};

/// Reports the time left until `deadline`, if the call `number` sleeps for a duration and its arguments name a place for it.
pub fn report(number: u64, [_, second, _, fourth, ..]: [u64; 6], deadline: Option<u64>) {
    let into = if number == u64::from(__NR_nanosleep) {
        second
    } else if number == u64::from(__NR_clock_nanosleep) && second & u64::from(TIMER_ABSTIME) == 0 {
        fourth
    } else {
        0
    };
    if let Some(deadline) = deadline.filter(|_| into != 0) {
        let left = deadline.saturating_sub(husk::clock::monotonic_ns());
        // If the address cannot be written, the call still ends with EINTR, as on Linux.
        let _ = user::write(into, &clock::to_timespec(left));
    }
}
