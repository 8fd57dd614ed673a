//! Threads of the tender are all in their filters before the first instruction of a guest runs.

use husk_tests::{Disk, End, Guest, Outcome, Target, build, process};

/// Delay of a thread before its filter, many times the duration of a start.
const DELAY_MS: u64 = 300;
/// Delay of a thread before its filter, for a guest that waits for the thread a little longer.
const SHORT_DELAY_MS: u64 = 100;
/// Runs of a race, unless `HUSK_RACES` is set.
const RACES: usize = 20;

/// Mode of a thread in a filter (proc_pid_status(5)).
const FILTER: &str = "2";

/// Checks that the other thread did not run the code that overwrote its own, or was ended by its first system call or by
/// other memory of it that was overwritten.
#[track_caller]
fn expect_confined(outcome: &Outcome) {
    outcome.expect_end(&[End::Exit(0), End::Signal(libc::SIGSYS), End::Signal(libc::SIGSEGV)]);
    assert!(!outcome.stdout().contains("ran outside"), "{outcome}");
}

fn overwrite() -> Guest {
    Guest::image(build::image("net-guests", "overwrite_thread")).flag(Target::Spt.flag()).flag("--net=user")
}

#[test]
fn a_guest_waits_for_every_thread_to_be_confined() {
    let disk = Disk::empty(1 << 20);
    for target in Target::all() {
        let net = Guest::image(build::image("net-guests", "bell_endless")).flag("--net=user");
        let block = Guest::image(build::image("block-guests", "disk_ready")).flag(disk.flag(""));
        for guest in [net, block] {
            let mut running = guest.flag(target.flag()).delay("devices", DELAY_MS).spawn();
            running.expect_printed("ready", 1);
            let modes = running.seccomp_modes();
            // Some kernels show threads of their own beside those of the tender.
            assert!(modes.len() >= 2 && modes.iter().all(|mode| mode == FILTER), "{}: {modes:?}", target.name());
        }
    }
}

#[test]
fn the_sentinel_is_confined_with_the_thread_of_the_guest() {
    let mut running = Guest::native("endless").argument("spin").flag(Target::Spt.flag()).spawn();
    running.expect_printed("ready", 1);
    let modes = running.seccomp_modes();
    assert!(modes.len() >= 2 && modes.iter().all(|mode| mode == FILTER), "{modes:?}");
}

#[test]
fn a_guest_cannot_take_a_thread_before_its_filter() {
    expect_confined(&overwrite().delay("devices", SHORT_DELAY_MS).run());
}

#[test]
fn a_guest_does_not_win_a_race_against_a_filter() {
    let races = std::env::var("HUSK_RACES").ok().and_then(|count| count.parse().ok()).unwrap_or(RACES);
    let ours: Vec<String> = process::processors().iter().map(usize::to_string).collect();
    for processors in [&ours[..1], &ours[..ours.len().min(2)]].map(|processors| processors.join(",")) {
        for _ in 0..races {
            expect_confined(&overwrite().through(&["taskset", "-c", &processors]).run());
        }
    }
}
