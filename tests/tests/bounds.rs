//! Limits on a guest's use of its host: memory, processor time, time, and the terminal.

use husk_abi::fault::TIME_IS_UP;
use husk_tests::{Guest, Running, build};
use std::thread;
use std::time::{Duration, Instant};

/// Most memory of the tender beside the guest's, in KiB: THREATS.md.
const OVERHEAD_KIB: u64 = 16 << 10;
/// Memory of the guests of these tests, in MiB.
const MEMORY_MIB: u64 = 32;
/// Time for which a guest is observed.
const LOOK: Duration = Duration::from_millis(700);

fn load(kind: &str) -> Guest {
    Guest::native("hostile_load").flag(format!("--memory={MEMORY_MIB}M")).argument(kind)
}

/// Checks that the peak memory of tender and guest together was within their limits.
#[track_caller]
fn expect_bounded(running: &Running) {
    if let Some(peak_kib) = running.peak_kib() {
        assert!(peak_kib <= (MEMORY_MIB << 10) + OVERHEAD_KIB, "{peak_kib} KiB");
    }
}

#[test]
fn memory_is_bounded_whatever_a_guest_does() {
    for kind in ["spin", "print", "touch", "protect", "tell"] {
        let mut running = load(kind).flag("--console-rate=1M").flag("--verbose").spawn();
        running.expect_printed("ready", 1);
        if kind == "touch" {
            running.expect_printed("touched", 1);
        }
        thread::sleep(LOOK);
        expect_bounded(&running);
    }
}

#[test]
fn a_doorbell_that_never_stops_costs_no_memory() {
    let guest = Guest::image(build::image("net-guests", "bell_endless"));
    let mut running = guest.flag(format!("--memory={MEMORY_MIB}M")).flag("--net=user").spawn();
    running.expect_printed("ready", 1);
    thread::sleep(LOOK);
    expect_bounded(&running);
}

#[test]
fn a_share_of_a_processor_is_not_exceeded() {
    for kind in ["spin", "tell", "protect"] {
        let mut running = load(kind).flag("--cpu-limit=20%").spawn();
        running.expect_printed("ready", 1);
        // The time of the start depends on the machine and is not counted.
        let (started, Some(before)) = (Instant::now(), running.processor_time()) else { continue };
        thread::sleep(2 * LOOK);
        let Some(used) = running.processor_time().map(|used| used - before) else { continue };
        // The share, and 100 ms for a burst and for time that a kernel accounts late.
        let most = started.elapsed() / 5 + Duration::from_millis(100);
        assert!(used <= most, "{kind}: {used:?} of {most:?}");
    }
}

#[test]
fn a_guest_ends_when_its_time_is_up() {
    let status = TIME_IS_UP.into();
    load("spin").flag("--timeout=300ms").run().expect_status(status);
    // A program gets a signal, and may take its time.
    Guest::program("idle_std").flag("--timeout=300ms").run().expect_status(status);
    // A program that ignores the signal is ended.
    let deaf = Guest::native("endless").argument("sleep").flag("--timeout=200ms").flag("--stop-timeout=0");
    deaf.run().expect_status(status);
    Guest::native("prints_control").flag("--timeout=1h").run().expect_success();
}

#[test]
fn what_is_printed_can_be_kept_from_driving_the_terminal() {
    let outcome = Guest::native("prints_control").flag("--console=escaped").run();
    outcome.expect_success().expect_stdout("plain\n\\u{1b}]0;title\\u{7} \\u{9b}2J €\\xff\\u{d}\n");
    outcome.expect_stderr("\\u{1b}[2J\n");
    let raw = Guest::native("prints_control").run();
    raw.expect_success().expect_stderr("\x1b[2J\n");
}

#[test]
fn what_is_printed_can_be_held_to_a_rate() {
    let started = Instant::now();
    let mut running = load("print").flag("--console-rate=100K:4K").spawn();
    running.expect_printed("ready", 1);
    thread::sleep(LOOK);
    let printed = running.printed();
    // At most one line beyond the burst.
    let most = started.elapsed().as_secs_f64() * 102_400.0 + 2.0 * 4096.0;
    assert!((printed as f64) < most, "{printed} bytes of {most}");
}
