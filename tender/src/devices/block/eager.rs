//! Writes to a file system that does not say whether they would wait.
//!
//! Nearly none does: it fills a page of the page cache. So each is made at once, until one has blocked, as on a host that lets no
//! more be written than its disk can take. Then they are left to a thread that may wait, for a while.
//!
//! A write that took long has not blocked if its thread was preempted in between, as it is all the time beside another program.
//! The kernel counts the two apart (getrusage(2)), which is asked only once a write has taken long.

#![expect(unsafe_code, reason = "a system call without a wrapper")]

use crate::time::monotonic_ns;

/// Time from which a write has taken long, in nanoseconds.
const LONG_NS: u64 = 2_000_000;
/// Time for which others are not attempted after one that has blocked, and are watched after one that has taken long.
const PAUSE_NS: u64 = 200_000_000;

/// When writes are attempted, as monotonic times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eager {
    /// None before this time.
    from_ns: u64,
    /// Until this time, the blocking of the thread is counted around each.
    watched_until_ns: u64,
}

impl Eager {
    /// Makes a write, unless one has blocked lately.
    pub fn attempt<T>(&mut self, write: impl FnOnce() -> T) -> Option<T> {
        self.attempt_with(write, monotonic_ns, times_blocked)
    }

    fn attempt_with<T>(
        &mut self,
        write: impl FnOnce() -> T,
        now_ns: impl Fn() -> u64,
        times_blocked: impl Fn() -> Option<i64>,
    ) -> Option<T> {
        let begun_ns = now_ns();
        if begun_ns < self.from_ns {
            return None;
        }
        let before = if begun_ns < self.watched_until_ns { Some(times_blocked()) } else { None };
        let result = write();
        let ended_ns = now_ns();
        if ended_ns.saturating_sub(begun_ns) > LONG_NS {
            // Where the kernel does not count, each has blocked.
            let has_blocked = before.is_some_and(|before| before.is_none() || before != times_blocked());
            self.from_ns = if has_blocked { ended_ns + PAUSE_NS } else { 0 };
            self.watched_until_ns = self.from_ns.max(ended_ns) + PAUSE_NS;
        }
        Some(result)
    }
}

/// How often the calling thread has given up its processor by itself; nothing if the kernel does not count that.
fn times_blocked() -> Option<i64> {
    // SAFETY: all zeros is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is a variable of ours.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    (result == 0).then_some(usage.ru_nvcsw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    /// Attempts writes that take `took_ns` each, in which the thread blocks as `blocks` says; returns which were made.
    fn attempts(took_ns: u64, blocks: Option<i64>) -> Vec<bool> {
        let (now_ns, blocked) = (Cell::new(1), Cell::new(0));
        let mut eager = Eager::default();
        let mut attempt = || {
            let write = || {
                now_ns.set(now_ns.get() + took_ns);
                blocked.set(blocked.get() + blocks.unwrap_or(0));
            };
            eager.attempt_with(write, || now_ns.get(), || blocks.map(|_| blocked.get())).is_some()
        };
        (0..5).map(|_| attempt()).collect()
    }

    #[test]
    fn a_host_that_is_quick_is_written_to_at_once() {
        assert_eq!(attempts(LONG_NS, Some(1)), [true; 5]);
    }

    #[test]
    fn a_host_on_which_writes_block_is_left_to_others_after_the_second() {
        assert_eq!(attempts(LONG_NS + 1, Some(1)), [true, true, false, false, false]);
    }

    #[test]
    fn a_thread_that_is_preempted_has_not_blocked() {
        assert_eq!(attempts(LONG_NS * 2, Some(0)), [true; 5]);
    }

    #[test]
    fn a_kernel_that_does_not_count_is_not_trusted_with_a_long_write() {
        assert_eq!(attempts(LONG_NS * 2, None), [true, true, false, false, false]);
    }

    #[test]
    fn writes_are_attempted_again_after_a_while() {
        let now_ns = Cell::new(1);
        let mut eager = Eager { from_ns: 10, watched_until_ns: 0 };
        let mut attempt = || eager.attempt_with(|| (), || now_ns.get(), || Some(0)).is_some();
        assert!(!attempt());
        now_ns.set(10);
        assert!(attempt());
    }

    #[test]
    fn a_sleep_counts_as_blocked() {
        let before = times_blocked().expect("this kernel counts");
        std::thread::sleep(Duration::from_millis(1));
        assert!(times_blocked().expect("it still does") > before);
    }
}
