//! Backoff of blocking calls on files, by a thread that has more to do: writes to a disk on a file system that does not support
//! RWF_NOWAIT for writes, and requests to a folder.
//!
//! Nearly none blocks: a write fills a page of the page cache. So each is made at once with a blocking call, until one has
//! blocked, as under dirty throttling, on a host that admits no more writes than its disk can take. Then they are left to another
//! thread for a while.
//!
//! A slow write has not blocked if its thread was only preempted, as happens all the time beside another program. The kernel
//! counts voluntary switches apart (getrusage(2)); they are queried only after a write was slow.

#![expect(unsafe_code, reason = "a system call without a wrapper")]

use crate::host::time::monotonic_ns;

/// Time from which a write counts as slow, in nanoseconds.
const LONG_NS: u64 = 2_000_000;
/// Time without attempts after a write that blocked, and time of watching after a slow one, in nanoseconds.
const PAUSE_NS: u64 = 200_000_000;

/// Times that control attempts, as monotonic times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// Start of attempts: no write is attempted before.
    from_ns: u64,
    /// End of watching: until then, the thread's voluntary switches are counted around each write.
    watched_until_ns: u64,
}

impl Backoff {
    /// Makes a write; `None` if one has blocked lately.
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
            // If the kernel does not count, each slow write counts as blocked.
            let has_blocked = before.is_some_and(|before| before.is_none() || before != times_blocked());
            self.from_ns = if has_blocked { ended_ns + PAUSE_NS } else { 0 };
            self.watched_until_ns = self.from_ns.max(ended_ns) + PAUSE_NS;
        }
        Some(result)
    }
}

/// Number of voluntary context switches of the calling thread; `None` if the kernel does not count them.
fn times_blocked() -> Option<i64> {
    // SAFETY: all zeros is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a local variable of the type that the call fills.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    (result == 0).then_some(usage.ru_nvcsw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    /// Attempts writes that take `took_ns` each, in which the thread blocks `blocks` times; returns which were made.
    fn attempts(took_ns: u64, blocks: Option<i64>) -> Vec<bool> {
        let (now_ns, blocked) = (Cell::new(1), Cell::new(0));
        let mut backoff = Backoff::default();
        let mut attempt = || {
            let write = || {
                now_ns.set(now_ns.get() + took_ns);
                blocked.set(blocked.get() + blocks.unwrap_or(0));
            };
            backoff.attempt_with(write, || now_ns.get(), || blocks.map(|_| blocked.get())).is_some()
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
        let mut backoff = Backoff { from_ns: 10, watched_until_ns: 0 };
        let mut attempt = || backoff.attempt_with(|| (), || now_ns.get(), || Some(0)).is_some();
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
