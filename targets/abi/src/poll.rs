//! Adaptive polling before a sleep (halt polling), the same on both sides: how long to poll for work before blocking.
//!
//! A sleep costs the side that enters it [`Cost`]: an exit for the guest, a wake-up for a thread of the tender. Polling for at
//! most that long is never worse than twice the best choice (the ski-rental bound). [`Poll`] also keeps an account of what
//! polling saved less what it took. While the account is empty, waits do not poll, except for an occasional trial. Thus polling
//! ends within a few waits where no other processor is free: the other side cannot answer, and each poll misses.
//!
//! A guest also sees whether the tender runs at the moment ([`crate::ring::BEAT`]). It does not poll for a thread that is
//! preempted by another program, and polls again as soon as that thread runs again.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};

/// Shortest poll that is worth its clock reads, in nanoseconds. A sleep that costs less is not polled for.
const SHORTEST_NS: u64 = 500;
/// Upper bound of a sleep cost sample, in nanoseconds.
const COST_MAXIMUM_NS: u64 = 500_000;
/// Maximum of the account, in sleep costs: how many polls may miss in a row after many that have hit.
const CREDIT: i64 = 4;
/// Waits without polling before a trial, right after the account has become empty.
const SKIPS: u32 = 8;

/// Cost of one sleep, estimated by its low quantile: a sample that another thread has lengthened raises the estimate by at most
/// a 64th.
#[derive(Debug, Default)]
pub struct Cost(AtomicU64);

impl Cost {
    /// Returns a cost without samples.
    pub const fn unknown() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the estimate in nanoseconds; 0 without a sample.
    pub fn ns(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Updates the estimate by a sample.
    pub fn sample(&self, ns: u64) {
        let (ns, known) = (ns.clamp(1, COST_MAXIMUM_NS), self.ns());
        self.0.store(
            match known {
                0 => ns,
                _ if ns < known => known - (known - ns).div_ceil(4),
                _ => known + ((ns - known) / 64).min(known.div_ceil(64)),
            },
            Relaxed,
        );
    }
}

/// Polling state of one place that polls before it sleeps.
#[derive(Debug)]
pub struct Poll {
    /// Time that polling has saved less the time it took, in nanoseconds.
    balance_ns: AtomicI64,
    /// Waits without polling until the next trial.
    skip: AtomicU32,
    /// Waits without polling after the next failed trial; `skips_maximum` is its upper bound.
    backoff: AtomicU32,
    skips_maximum: u32,
    /// True until the first hit since polling began again.
    trial: AtomicBool,
    /// True if polling stopped because the other side did not run.
    absent: AtomicBool,
}

impl Poll {
    /// Returns a state in which trials become as rare as one in `skips_maximum` waits. The first wait is a trial, because no
    /// cost is known yet.
    pub const fn new(skips_maximum: u32) -> Self {
        Self {
            balance_ns: AtomicI64::new(0),
            skip: AtomicU32::new(0),
            backoff: AtomicU32::new(SKIPS),
            skips_maximum,
            trial: AtomicBool::new(true),
            absent: AtomicBool::new(false),
        }
    }

    /// Returns true if the next wait polls.
    pub fn is_on(&self) -> bool {
        self.skip.load(Relaxed) == 0
    }

    /// Returns true if the next wait polls as a trial, to find out if polling pays again.
    pub fn is_trial(&self) -> bool {
        self.is_on() && self.trial.load(Relaxed)
    }

    /// Begins a wait, before a sleep of this cost. Returns the time to poll, in nanoseconds; 0 for none.
    pub fn begin(&self, cost_ns: u64) -> u64 {
        if cost_ns < SHORTEST_NS {
            return 0;
        }
        match self.skip.load(Relaxed) {
            0 => cost_ns.min(COST_MAXIMUM_NS),
            skip => {
                self.skip.store(skip - 1, Relaxed);
                0
            }
        }
    }

    /// Ends a poll that found work after `took_ns` and saved a sleep of this cost.
    pub fn hit(&self, took_ns: u64, cost_ns: u64) {
        self.trial.store(false, Relaxed);
        self.backoff.store(SKIPS, Relaxed);
        self.account(cost_ns, took_ns, cost_ns);
    }

    /// Ends a poll that found no work within `took_ns`.
    pub fn miss(&self, took_ns: u64, cost_ns: u64) {
        self.account(0, took_ns, cost_ns);
    }

    /// Ends polling because the other side does not run: until a trial, or until the other side runs again ([`Poll::present`]).
    pub fn absent(&self) {
        self.absent.store(true, Relaxed);
        self.stop();
    }

    /// Resumes polling at once if it ended because the other side did not run, and the other side now runs.
    pub fn present(&self) {
        if self.absent.load(Relaxed) {
            self.absent.store(false, Relaxed);
            self.trial.store(false, Relaxed);
            self.skip.store(0, Relaxed);
        }
    }

    fn account(&self, saved_ns: u64, took_ns: u64, cost_ns: u64) {
        // A thread that was preempted did not use its processor during that time.
        let spent_ns = took_ns.min(cost_ns * 2) as i64;
        let balance_ns = self.balance_ns.load(Relaxed) + saved_ns as i64 - spent_ns;
        self.balance_ns.store(balance_ns.clamp(0, CREDIT * cost_ns as i64), Relaxed);
        if balance_ns < 0 {
            self.stop();
        }
    }

    fn stop(&self) {
        let backoff = self.backoff.load(Relaxed);
        self.skip.store(backoff, Relaxed);
        self.backoff.store((backoff * 2).min(self.skips_maximum), Relaxed);
        self.trial.store(true, Relaxed);
    }
}

// Arithmetic alone, and some million steps of it: too much for Miri, which has nothing to find in it.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// Sleep costs in nanoseconds: hardware KVM, one software KVM and another.
    const COSTS_NS: [u64; 3] = [1_000, 25_000, 71_000];

    /// Times of a run of waits, in nanoseconds, next to sleeping at once each time.
    struct Run {
        took: u64,
        asleep_at_once: u64,
        polled: usize,
    }

    /// Waits for work that arrives after each of these times, where a poll takes `stretch` times its intended time.
    fn run(cost_ns: u64, stretch: u64, work_ns: impl Iterator<Item = u64>) -> Run {
        let poll = Poll::new(512);
        let mut run = Run { took: 0, asleep_at_once: 0, polled: 0 };
        for work_ns in work_ns {
            run.asleep_at_once += work_ns + cost_ns;
            let window_ns = poll.begin(cost_ns);
            run.polled += usize::from(window_ns > 0);
            if window_ns == 0 {
                run.took += work_ns + cost_ns;
            } else if work_ns <= window_ns && stretch == 1 {
                poll.hit(work_ns, cost_ns);
                run.took += work_ns;
            } else {
                poll.miss(window_ns * stretch, cost_ns);
                run.took += work_ns.max(window_ns * stretch) + cost_ns;
            }
        }
        run
    }

    #[test]
    fn work_that_comes_soon_is_polled_for() {
        for cost_ns in COSTS_NS {
            let run = run(cost_ns, 1, core::iter::repeat_n(cost_ns / 4, 10_000));
            assert!(run.polled > 9_900, "{cost_ns}: {}", run.polled);
            assert!(run.took * 4 < run.asleep_at_once, "{cost_ns}: {} of {}", run.took, run.asleep_at_once);
        }
    }

    #[test]
    fn work_that_comes_late_is_slept_for() {
        for cost_ns in COSTS_NS {
            let run = run(cost_ns, 1, core::iter::repeat_n(cost_ns * 10, 10_000));
            assert!(run.polled < 30, "{cost_ns}: {}", run.polled);
            assert!(run.took < run.asleep_at_once * 101 / 100);
        }
    }

    #[test]
    fn without_a_free_processor_polling_ends_within_a_few_waits() {
        // No poll is answered, and each loses its own processor for a scheduler's slice besides.
        for cost_ns in COSTS_NS {
            for stretch in [1, 3_000_000 / cost_ns] {
                let work = core::iter::repeat_n(cost_ns / 4, 100);
                let slice = core::iter::repeat_n(3_000_000, 10_000);
                let run = run(cost_ns, stretch, work.chain(slice));
                assert!(run.polled < if stretch == 1 { 130 } else { 30 }, "{cost_ns}: {}", run.polled);
            }
        }
    }

    #[test]
    fn a_side_that_does_not_run_is_not_polled_for_and_its_return_is_noticed() {
        let poll = Poll::new(512);
        (0..10).for_each(|_| poll.hit(1_000, 25_000));
        poll.absent();
        assert!(!poll.is_on() && poll.begin(25_000) == 0);
        poll.present();
        assert!(poll.is_on() && !poll.is_trial() && poll.begin(25_000) == 25_000);
        // Polling that ended because it did not pay does not resume when the other side runs.
        (0..10).for_each(|_| poll.miss(25_000, 25_000));
        poll.present();
        assert!(!poll.is_on());
    }

    #[test]
    fn nothing_is_polled_for_that_costs_less_than_a_look() {
        assert_eq!(run(SHORTEST_NS - 1, 1, core::iter::repeat_n(10, 1000)).polled, 0);
        assert_eq!(run(0, 1, core::iter::repeat_n(10, 1000)).polled, 0, "the cost is unknown");
    }

    #[test]
    fn waits_of_both_kinds_are_never_much_worse_than_sleeping_and_mostly_better() {
        for cost_ns in COSTS_NS {
            for late in 0..=20 {
                let scattered = |wait: u64| wait.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                let work = (0..20_000).map(|wait| if scattered(wait) % 20 < late { cost_ns * 3 } else { 200 });
                let run = run(cost_ns, 1, work);
                let limit = if late <= 4 { run.asleep_at_once * 2 / 3 } else { run.asleep_at_once * 102 / 100 };
                assert!(run.took < limit, "{cost_ns}, {late} of 20: {} of {}", run.took, run.asleep_at_once);
            }
        }
    }

    #[test]
    fn polling_begins_again_soon_after_it_pays_again() {
        for cost_ns in COSTS_NS {
            let late = core::iter::repeat_n(cost_ns * 10, 10_000);
            let soon = core::iter::repeat_n(cost_ns / 10, 1_000);
            let run = run(cost_ns, 1, late.chain(soon));
            assert!(run.polled > 400, "{cost_ns}: {}", run.polled);
        }
    }

    #[test]
    fn a_cost_follows_its_shortest_samples() {
        for cost_ns in COSTS_NS {
            let cost = Cost::unknown();
            cost.sample(3_000_000);
            // Another thread lengthens one sample in ten.
            (0..200).for_each(|sample| cost.sample(if sample % 10 == 0 { 3_000_000 } else { cost_ns + sample % 7 }));
            assert!((cost_ns..cost_ns * 11 / 10).contains(&cost.ns()), "{cost_ns}: {}", cost.ns());
            (0..500).for_each(|_| cost.sample(cost_ns * 3));
            assert!(cost.ns() > cost_ns * 2, "it rises with them: {}", cost.ns());
        }
    }
}
