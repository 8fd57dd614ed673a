//! Bounded wait for a condition that comes true soon, but not at once; a sleep would assume a speed of the machine.

use crate::patience;
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Polling interval.
const LOOK: Duration = Duration::from_millis(1);

/// Polls until there is a value, and returns it; `what` names the condition in the message of a test that fails at the time
/// limit.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    let patience = patience(PATIENCE);
    within(patience, look).unwrap_or_else(|| panic!("not within {patience:?}: {what}"))
}

/// Polls until there is a value or the time is up; at least once.
pub fn within<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        let value = look();
        if value.is_some() || Instant::now() >= end {
            return value;
        }
        thread::sleep(LOOK);
    }
}

/// Makes attempts with increasing times, for a condition that takes a time unknown in advance; returns the value of the first
/// attempt that has one, or `None` if even the last has none.
pub fn with_more_time<T>(first: Duration, mut attempt: impl FnMut(Duration) -> Option<T>) -> Option<T> {
    const ATTEMPTS: u32 = 5;
    const FACTOR: u32 = 3;
    (0..ATTEMPTS).find_map(|number| attempt(first * FACTOR.pow(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_is_true() {
        let mut looks = 0;
        let value = eventually("three looks", || {
            looks += 1;
            (looks == 3).then_some("there")
        });
        assert_eq!((value, looks), ("there", 3));
        assert_eq!(within(Duration::ZERO, || Some(1)), Some(1), "one look in no time");
    }

    #[test]
    fn a_condition_that_never_comes_true_ends_the_wait() {
        assert_eq!(within(Duration::from_millis(5), || None::<()>), None);
        let mut times = vec![];
        let found = with_more_time(Duration::from_secs(1), |time| {
            times.push(time);
            None::<()>
        });
        assert_eq!((found, times), (None, [1, 3, 9, 27, 81].map(Duration::from_secs).to_vec()));
    }
}
