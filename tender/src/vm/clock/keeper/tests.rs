//! Guests on simulated hosts: each reads its clock every 100 us, for ten seconds or more, without another call.

use super::*;

const SECOND: u64 = 1_000_000_000;
const STEP: u64 = 100_000;
/// Largest error of a guest's clock against the host's.
const WITHIN: u64 = 1_000_000;

/// A host and its guest's counter, as functions of true time in nanoseconds.
struct Host {
    host: Box<dyn Fn(u64) -> u64>,
    guest: Box<dyn Fn(u64) -> u64>,
    monotonic: Box<dyn Fn(u64) -> u64>,
}

impl Host {
    /// Makes a host with a counter of 2.5 GHz, which is also the guest's, and a true clock.
    fn usual() -> Self {
        Self { host: Box::new(counter), guest: Box::new(counter), monotonic: Box::new(|time| 5 * SECOND + time) }
    }

    fn with_guest(guest: impl Fn(u64) -> u64 + 'static) -> Self {
        Self { guest: Box::new(guest), ..Self::usual() }
    }

    fn at(&self, time: u64) -> Moment {
        let monotonic_ns = (self.monotonic)(time);
        Moment {
            host: (self.host)(time),
            guest: (self.guest)(time),
            monotonic_ns,
            realtime_ns: 1_700_000_000 * SECOND + monotonic_ns,
        }
    }
}

/// 2.5 GHz.
fn counter(time: u64) -> u64 {
    7_000_000_000_000 + time * 5 / 2
}

/// Observations of a guest.
#[derive(Debug, Default)]
struct Seen {
    /// Largest error, and the number of times that the guest asked.
    worst: u64,
    asked: u64,
}

/// Has a guest read its clock at each of these times; returns the largest error from `settled` on. The clock never goes
/// back.
fn run(host: &Host, khz: Option<u32>, steady: bool, times: impl Iterator<Item = u64>, settled: u64) -> Seen {
    let (began, now) = (host.at(SECOND - 1_000_000), host.at(SECOND));
    let mut keeper = Keeper::start(&began, &now, khz, steady);
    let (mut seen, mut last) = (Seen::default(), [0, 0]);
    for time in times {
        let moment = host.at(time);
        if !keeper.published().hold_at(moment.guest) {
            keeper.correct(&moment, moment.host);
            seen.asked += 1;
        }
        let published = keeper.published();
        let read = [published.monotonic_ns(moment.guest), published.realtime_ns(moment.guest)];
        assert!(read[0] >= last[0] && read[1] >= last[1], "{last:?} was read, then {read:?}, after {time} ns");
        last = read;
        if time >= settled {
            seen.worst = seen.worst.max(read[0].abs_diff(moment.monotonic_ns));
            let wall = published.realtime_ns(moment.guest).abs_diff(moment.realtime_ns);
            seen.worst = seen.worst.max(wall);
        }
    }
    seen
}

/// Ten seconds and more of reading all the time.
fn always() -> impl Iterator<Item = u64> {
    (SECOND..13 * SECOND).step_by(STEP as usize)
}

#[track_caller]
fn expect_right(seen: &Seen) {
    assert!(seen.worst < WITHIN, "{seen:?}");
    assert!(seen.asked < 12 * 100, "{seen:?}");
}

#[test]
fn the_usual_host() {
    let seen = run(&Host::usual(), Some(2_500_000), true, always(), 0);
    assert!(seen.worst < 1_000 && (40..60).contains(&seen.asked), "{seen:?}");
}

#[test]
fn a_guest_whose_counter_starts_at_0() {
    expect_right(&run(
        &Host::with_guest(|time| (time + 1_000_000 - SECOND) * 5 / 2),
        Some(2_500_000),
        true,
        always(),
        0,
    ));
}

#[test]
fn a_guest_whose_counter_is_scaled() {
    for (numerator, khz) in [(1, 1_000_000), (4, 4_000_000)] {
        expect_right(&run(&Host::with_guest(move |time| time * numerator), Some(khz), true, always(), 0));
    }
}

#[test]
fn a_rate_that_is_not_known_or_wrong() {
    for khz in [None, Some(0), Some(2_500_100), Some(2_499_000)] {
        expect_right(&run(&Host::usual(), khz, true, always(), 0));
    }
    // An error of some percent is noticed after the first page, and never sets the guest back.
    for khz in [2_350_000, 2_700_000, 2_000_000, 3_000_000] {
        expect_right(&run(&Host::usual(), Some(khz), true, always(), 5 * SECOND));
    }
}

#[test]
fn a_clock_that_is_disciplined_all_the_time() {
    // 500 parts in a million, one way and the other, and a change of it every three seconds.
    for rate in [500i64, -500] {
        let monotonic = move |time: u64| {
            let rest = time % (6 * SECOND);
            let turned = if rest < 3 * SECOND { rest } else { 6 * SECOND - rest };
            (time as i64 + turned as i64 * rate / 1_000_000) as u64
        };
        let host = Host { monotonic: Box::new(monotonic), ..Host::usual() };
        expect_right(&run(&host, Some(2_500_000), true, always(), 0));
    }
}

#[test]
fn readings_that_are_disturbed() {
    // The thread is stopped between the clock and the counter, for up to 300 us.
    let noise = |time: u64| (time / STEP).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let monotonic =
        move |time: u64| time - (noise(time) % 300_000) / if noise(time).is_multiple_of(8) { 1 } else { 1000 };
    let host = Host { monotonic: Box::new(monotonic), ..Host::usual() };
    let seen = run(&host, Some(2_500_000), true, always(), 0);
    assert!(seen.worst < WITHIN, "{seen:?}");
}

#[test]
fn a_counter_that_is_not_the_same_on_all_processors_is_not_relied_on() {
    // Two processors, a millisecond apart; the guest changes between them all the time.
    let jumping = |time: u64| counter(time) + if (time / STEP).is_multiple_of(2) { 2_500_000 } else { 0 };
    let host = Host { host: Box::new(jumping), guest: Box::new(jumping), ..Host::usual() };
    let seen = run(&host, None, false, always(), 0);
    assert!(seen.worst == 0 && seen.asked > 100_000, "{seen:?}");
}

#[test]
fn a_host_that_sleeps() {
    const ASLEEP: u64 = 3_600 * SECOND;
    // The monotonic clock stops during sleep, as does a guest's counter under KVM; a process's counter restarts or continues.
    let after = |time: u64| time > 6 * SECOND + STEP / 2;
    let stops = Host::usual();
    let begins = move |time: u64| if after(time) { (time - 6 * SECOND) * 5 / 2 } else { counter(time) };
    let goes_on = move |time: u64| if after(time) { counter(time + ASLEEP) } else { counter(time) };
    expect_right(&run(&stops, Some(2_500_000), true, always(), 0));
    let restarted = Host { host: Box::new(begins), ..Host::usual() };
    expect_right(&run(&restarted, Some(2_500_000), true, always(), 0));
    let restarted = Host { host: Box::new(begins), guest: Box::new(begins), ..Host::usual() };
    expect_right(&run(&restarted, None, true, always(), 0));
    let went_on = Host { host: Box::new(goes_on), guest: Box::new(goes_on), ..Host::usual() };
    expect_right(&run(&went_on, None, true, always(), 0));
}

#[test]
fn a_host_that_moves_to_a_faster_processor() {
    let faster =
        |time: u64| if time < 6 * SECOND { counter(time) } else { counter(6 * SECOND) + (time - 6 * SECOND) * 3 };
    let host = Host { host: Box::new(faster), guest: Box::new(faster), ..Host::usual() };
    // Until the next correction the change is unknown, and times that the guest has seen stay valid.
    expect_right(&run(&host, Some(2_500_000), true, always(), 9 * SECOND));
    run(&host, Some(2_500_000), true, always(), 0);
}

#[test]
fn a_guest_that_sleeps_for_long_is_right_when_it_wakes() {
    // The rate of the first page is off by a hundred parts in a million: an hour's sleep must not count.
    let host = Host::usual();
    let mut keeper = Keeper::start(&host.at(0), &host.at(SECOND), Some(2_499_750), true);
    let (left, now) = (host.at(SECOND + 1_000_000), host.at(3_600 * SECOND));
    keeper.correct(&now, left.host);
    assert_eq!(keeper.published().monotonic_ns(now.guest), now.monotonic_ns);
    // But the time that the guest read just before it left counts.
    let mut keeper = Keeper::start(&host.at(0), &host.at(SECOND), Some(2_400_000), true);
    let left = host.at(SECOND + 200_000_000);
    let seen = keeper.published().monotonic_ns(left.guest);
    keeper.correct(&left, left.host);
    assert!(seen > left.monotonic_ns && keeper.published().monotonic_ns(left.guest) >= seen);
}

#[test]
fn a_page_is_corrected_when_the_guest_leaves_after_some_time_or_the_counter_has_begun_anew() {
    let host = Host::usual();
    let keeper = Keeper::start(&host.at(0), &host.at(SECOND), Some(2_500_000), true);
    assert!(!keeper.is_due(counter(SECOND)) && !keeper.is_due(counter(SECOND + 50_000_000)));
    assert!(keeper.is_due(counter(SECOND + 150_000_000)) && keeper.is_due(5));
}

#[test]
fn a_wall_clock_that_is_set_is_followed() {
    let host = Host::usual();
    let mut keeper = Keeper::start(&host.at(0), &host.at(SECOND), Some(2_500_000), true);
    let mut now = host.at(2 * SECOND);
    now.realtime_ns -= 100 * SECOND;
    keeper.correct(&now, now.host);
    assert_eq!(keeper.published().realtime_ns(now.guest), now.realtime_ns);
}
