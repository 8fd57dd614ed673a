//! Times of waits, and from them the gain of polling: how much sooner a wait ends that polls than one that sleeps.
//!
//! The cost of a wake-up alone does not determine it. On an idle host, the peer sleeps as well and is woken before it answers:
//! polling pays for longer than one wake-up. On a busy host, a thread that sleeps leaves its processor to the peer, and its wait may
//! end sooner than by a poll. So both kinds of waits are timed and compared.

use husk_abi::poll::{Cost, Poll};

/// Longest poll, in wake-ups.
const WAKE_UPS: u64 = 4;
/// Processor time that polling may take for each nanosecond by which a wait ends sooner. More than one, because a processor that no
/// other thread wants is idle otherwise.
const WORTH: u64 = 2;
/// Waits ended by polls before one wait sleeps at once, which measures anew how long that takes.
const POLLS: u32 = 64;

/// Durations of the waits of one thread, from the last work to the next: low quantiles, in nanoseconds.
#[derive(Debug, Default)]
pub struct WaitTimes {
    slept: Cost,
    polled: Cost,
    /// Waits ended by polls since one slept.
    polls: u32,
}

impl WaitTimes {
    /// Takes in the duration of a wait in which the thread slept.
    pub fn slept(&mut self, ns: u64) {
        self.polls = 0;
        self.slept.sample(ns);
    }

    /// Returns the longest poll of the next wait, where a wake-up takes `wake_up_ns`: as long as a wait that sleeps. 0 if the next
    /// wait is to sleep at once.
    pub fn window_ns(&self, wake_up_ns: u64) -> u64 {
        match self.slept.ns() {
            _ if self.polls >= POLLS => 0,
            0 => wake_up_ns,
            slept_ns => slept_ns.min(WAKE_UPS * wake_up_ns),
        }
    }

    /// Accounts in `poll` for a poll of `window_ns` at most that has ended a wait after `took_ns`.
    pub fn polled(&mut self, poll: &Poll, took_ns: u64, window_ns: u64, wake_up_ns: u64) {
        self.polls += 1;
        self.polled.sample(took_ns);
        match self.worth_ns(wake_up_ns) {
            worth_ns if worth_ns > took_ns => poll.hit(took_ns, worth_ns),
            _ => poll.miss(took_ns, window_ns),
        }
    }

    /// Returns the processor time that a poll is worth if it ends a wait.
    fn worth_ns(&self, wake_up_ns: u64) -> u64 {
        match (self.slept.ns(), self.polled.ns()) {
            (0, _) | (_, 0) => WORTH * wake_up_ns,
            (slept_ns, polled_ns) => WORTH * slept_ns.saturating_sub(polled_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thread that waits for the answers of a peer.
    struct Waits {
        times: WaitTimes,
        poll: Poll,
    }

    impl Waits {
        fn new() -> Self {
            Self { times: WaitTimes::default(), poll: Poll::new(64) }
        }

        /// Returns how many of 10,000 waits poll, where each takes `slept_ns` if the thread sleeps and `polled_ns` if it polls.
        fn polls(&mut self, wake_up_ns: u64, slept_ns: u64, polled_ns: u64) -> usize {
            let Self { times, poll } = self;
            let mut wait = || {
                let window_ns = poll.begin(times.window_ns(wake_up_ns));
                if window_ns > 0 && window_ns >= polled_ns {
                    times.polled(poll, polled_ns, window_ns, wake_up_ns);
                    return true;
                }
                if window_ns > 0 {
                    poll.miss(window_ns, window_ns);
                }
                times.slept(slept_ns);
                window_ns > 0
            };
            (0..10_000).filter(|_| wait()).count()
        }
    }

    #[test]
    fn a_peer_that_is_woken_first_is_polled_for() {
        for wake_up_ns in [15_000, 25_000, 45_000] {
            let polls = Waits::new().polls(wake_up_ns, wake_up_ns * 2 + 10_000, wake_up_ns + 10_000);
            assert!(polls > 9_000, "{wake_up_ns}: {polls}");
        }
    }

    #[test]
    fn a_wait_that_sleeping_ends_sooner_is_slept_for() {
        for wake_up_ns in [5_000, 12_000, 48_000] {
            let polls = Waits::new().polls(wake_up_ns, 16_000, 20_000);
            assert!(polls < 300, "{wake_up_ns}: {polls}");
        }
    }

    #[test]
    fn work_that_comes_late_is_slept_for() {
        for wake_up_ns in [2_000, 45_000] {
            assert!(Waits::new().polls(wake_up_ns, wake_up_ns * 21, wake_up_ns * 20) < 300);
        }
    }

    #[test]
    fn a_host_that_becomes_busy_or_idle_is_noticed() {
        let mut waits = Waits::new();
        assert!(waits.polls(45_000, 100_000, 55_000) > 9_000);
        assert!(waits.polls(45_000, 16_000, 20_000) < 3_000);
        assert!(waits.polls(45_000, 100_000, 55_000) > 5_000);
    }
}
