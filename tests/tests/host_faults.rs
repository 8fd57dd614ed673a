//! Hosts that have not enough of something: the tender says so in one line, and leaves nothing of what it has started.

use husk_tests::{Disk, End, Guest, Outcome, build};

/// Runs the guest under a limit of the shell's: `ulimit` with these words.
fn limited(guest: Guest, limit: &str) -> Outcome {
    let line = format!("ulimit {limit} && exec \"$@\"");
    guest.through(&["sh", "-c", &line, "sh"]).run()
}

/// Checks that the guest ran, or was refused in one line. Returns true if it ran.
#[track_caller]
fn ran_or_refused(outcome: &Outcome, what: &str) -> bool {
    match outcome.end() {
        End::Exit(125) => {
            let stderr = outcome.stderr();
            let lines: Vec<_> = stderr.lines().collect();
            assert!(matches!(lines[..], [line] if line.starts_with("husk: ")), "{what}: {outcome}");
            false
        }
        end => {
            assert_eq!(end, End::Exit(0), "{what}: {outcome}");
            true
        }
    }
}

#[test]
fn descriptors_run_out() {
    let ran: Vec<bool> = (4..=20)
        .map(|count| {
            let disk = Disk::of(&[b'.'; 8 * 512]);
            let guest = Guest::image(build::image("block-guests", "disk_use"));
            let limit = format!("-n {count}");
            ran_or_refused(&limited(guest.flag(disk.flag("")).argument("512"), &limit), &limit)
        })
        .collect();
    assert!(ran.last() == Some(&true), "{ran:?}");
    for count in [4, 6, 8, 10, 12] {
        let limit = format!("-n {count}");
        ran_or_refused(&limited(Guest::native("heap_and_clock").argument("0").flag("--verbose"), &limit), &limit);
    }
}

#[test]
fn addresses_run_out() {
    let guest = || Guest::image(build::image("hello", "hello"));
    let ran: Vec<bool> = [3, 4, 8, 16, 32, 48, 64, 66, 67, 68, 70, 72, 80, 128, 600]
        .into_iter()
        .map(|megabytes| {
            let limit = format!("-v {}", megabytes * 1024);
            ran_or_refused(&limited(guest(), &limit), &limit)
        })
        .collect();
    assert!(ran.last() == Some(&true) && ran.first() == Some(&false) || ran.iter().all(|ran| *ran), "{ran:?}");
}

#[test]
fn addresses_that_run_out_are_no_memory_to_a_program_and_not_its_end() {
    let guest = || Guest::program("reservations").flag("--memory=64M").argument("as much as there is");
    let ran: Vec<bool> = [96, 128, 192, 256, 400, 600, 1024, 2048, 3000, 4096, 5000, 8192]
        .into_iter()
        .map(|megabytes| {
            let limit = format!("-v {}", megabytes * 1024);
            ran_or_refused(&limited(guest(), &limit), &limit)
        })
        .collect();
    // Nothing but the memory is reserved from the start.
    assert!(ran.iter().skip(1).all(|ran| *ran), "{ran:?}");
}

#[test]
fn a_disk_is_full() {
    let outcome = Guest::image(build::image("hello", "hello")).through(&["sh", "-c", "exec \"$@\" > /dev/full", "sh"]);
    let outcome = outcome.run();
    outcome.status();
}
