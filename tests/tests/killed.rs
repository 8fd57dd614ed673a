//! Tenders that are killed at random moments, starting up or at work: everything that they used is free again at once.

use husk_tests::{Disk, End, Guest, Outcome, build, kills, wire};
use std::time::Duration;

/// Number of kills, unless `HUSK_KILLS` is set.
const KILLS: u64 = 50;
/// Latest moment of a kill, in microseconds after the start.
const LATEST_US: u64 = 25_000;

/// Kills a run of the guest at a moment that differs from round to round.
fn killed(guest: Guest, round: u64) -> Outcome {
    let mut running = guest.spawn();
    std::thread::sleep(Duration::from_micros(round * 7919 % LATEST_US));
    running.signal("KILL", 1);
    let outcome = running.finish();
    // The guest may have ended before the signal.
    outcome.expect_end(&[End::Signal(libc::SIGKILL), End::Exit(0)]);
    outcome
}

/// Command lines of the processes that have this text in them.
fn processes(part: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(part)).collect()
}

#[test]
fn a_disk_is_free_at_once() {
    let disk = Disk::empty(1 << 20);
    let guest = || Guest::image(build::image("block-guests", "disk_flood")).flag(disk.flag(""));
    for round in 0..kills(KILLS) {
        let outcome = killed(guest(), round);
        assert!(!outcome.stderr().contains("husk:"), "round {round}: {outcome}");
        let left = processes(&disk.path().display().to_string());
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
    guest().run().expect_success();
}

#[test]
fn an_interface_is_free_at_once() {
    if !wire::alone() {
        return;
    }
    wire::ip("tuntap add tap0 mode tap");
    wire::ip("link set tap0 up");
    let guest = || Guest::image(build::image("net-guests", "bell_endless")).flag("--net=tap:tap0");
    for round in 0..kills(KILLS) {
        let outcome = killed(guest(), round);
        assert!(!outcome.stderr().contains("husk:"), "round {round}: {outcome}");
    }
    wire::ip("link del tap0");
}
