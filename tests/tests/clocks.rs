//! Clocks of a guest against those of the host.

use husk_tests::{Conversation, Guest};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds that a guest's clock may be beyond the bracket of host times.
const TOLERANCE: i128 = 1_000;

/// Two clocks of a guest, and the host's clocks before and after the guest's were read; all in microseconds.
struct Reading {
    day: [i128; 3],
    monotonic: [i128; 3],
}

/// Asks a guest for its clocks twice, with this pause and this request in between: both clocks must be right each time, and
/// the time that has passed for the guest must be that of the host.
fn compare(mut guest: Conversation, pause: Duration, request: &str) {
    let start = Instant::now();
    let host = || {
        let day = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        [day, start.elapsed()].map(|time| time.as_micros() as i128)
    };
    let mut read = |request: &str| {
        let before = host();
        let answer = guest.ask(request);
        let after = host();
        let numbers: Vec<i128> = answer.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [day, monotonic] = [0, 1].map(|clock| [before[clock], numbers[clock], after[clock]]);
        Reading { day, monotonic }
    };
    // The first answer waits for the guest to start.
    read("now");
    let first = read("now");
    thread::sleep(pause);
    if request != "now" {
        read(request);
    }
    let second = read("now");
    for Reading { day: [before, guest, after], .. } in [&first, &second] {
        let bracket = before - TOLERANCE..=after + TOLERANCE;
        assert!(bracket.contains(guest), "the time of day is {guest}, not within {bracket:?}");
    }
    let ([first_before, first, first_after], [before, second, after]) = (first.monotonic, second.monotonic);
    let bracket = before - first_after - TOLERANCE..=after - first_before + TOLERANCE;
    assert!(bracket.contains(&(second - first)), "{} passed, not within {bracket:?}", second - first);
}

#[test]
fn both_clocks_are_right_now_and_ten_seconds_later() {
    compare(Guest::program("clocks").converse(), Duration::from_secs(10), "now");
}

#[test]
fn both_clocks_are_right_after_ten_seconds_of_reading_them() {
    compare(Guest::program("clocks").converse(), Duration::ZERO, "watch 10");
}

#[test]
fn both_clocks_are_right_after_some_seconds_without_a_call() {
    compare(Guest::program("clocks").converse(), Duration::ZERO, "compute 3");
}

#[test]
fn processor_time_is_that_of_work_and_each_threads_own() {
    let expected = "asleep: [false, false, false]\nat work: [true, true, true]\nanother at work: [true, false, true]\n\
        in another: [true, true, true]\nin /proc: true\n";
    Guest::program("processor_time").run().expect_success().expect_stdout(expected);
}
