//! Failures of single system calls of a start, as on a host that has no memory, descriptors or space left, or a broken disk:
//! the tender does without, or says in one line what is the matter; nothing is left behind.
//!
//! Each call fails once, in one of these ways, in turns; with `HUSK_FAULTS=all`, once in each way.

use husk_tests::failing::{Failed, Failure};
use husk_tests::{Disk, End, Guest, build, wire};

/// EIO, ENOMEM, EMFILE, ENOSPC.
const ERRORS: [i32; 4] = [5, 12, 24, 28];
/// More calls than any run makes.
const CALLS_MAXIMUM: usize = 2000;
/// Calls on files of the guest: their errors are passed to the guest. read, write, readv, writev, pread64, pwrite64,
/// ppoll, preadv, pwritev, preadv2, pwritev2, io_uring_enter, fdatasync, fallocate.
const GUESTS: [i64; 14] = [0, 1, 19, 20, 17, 18, 271, 295, 296, 327, 328, 426, 75, 285];

/// mmap, brk.
const MEMORY: [i64; 2] = [9, 12];
const ABORTED: i32 = 6;

/// Fails each call of the guest once, or once in each way.
fn fail_each(what: &str, guest: impl Fn() -> Guest) {
    let all = std::env::var("HUSK_FAULTS").is_ok_and(|value| value == "all");
    let (mut refused, mut went_on) = (0, 0);
    for nth in 0..CALLS_MAXIMUM {
        let ways = if all { &ERRORS[..] } else { &ERRORS[nth % ERRORS.len()..][..1] };
        for errno in ways {
            let failure = Failure { nth, errno: *errno };
            let failed = guest().flag("--no-aslr").run_failing(failure);
            match failed.call {
                None => {
                    println!("{what}: {nth} calls; {refused} runs refused, {went_on} went on");
                    failed.outcome.expect_success();
                    assert!(refused > 0 && went_on > 0, "{what}: both occur");
                    guest().run().expect_success();
                    return;
                }
                Some(call) => *(if check(what, failure, call, &failed) { &mut went_on } else { &mut refused }) += 1,
            }
        }
    }
    panic!("{what}: there is no end of calls");
}

/// Checks that the guest ran, or was refused in one line. Returns true if it ran.
#[track_caller]
fn check(what: &str, failure: Failure, call: i64, Failed { outcome, .. }: &Failed) -> bool {
    let context = format!("{what}: call {call} failed: {failure:?}: {outcome}");
    let stderr = outcome.stderr();
    // Some memory of the standard library is from the C library, and this is the message if that fails.
    if outcome.end() == End::Signal(ABORTED) && MEMORY.contains(&call) {
        assert!(stderr.starts_with("memory allocation of "), "{context}");
        return false;
    }
    assert!(!stderr.contains("panicked at tender"), "{context}");
    match outcome.end() {
        End::Exit(0) => true,
        End::Exit(125) => {
            let lines: Vec<_> = stderr.lines().collect();
            assert!(matches!(lines[..], [line] if line.starts_with("husk: ")), "{context}");
            false
        }
        // The guest gets the error, and ends by itself.
        End::Exit(_) if GUESTS.contains(&call) => true,
        _ => panic!("{context}"),
    }
}

#[test]
fn the_start_of_a_program() {
    fail_each("hello-std", || Guest::image(build::image("hello-std", "hello-std")));
}

#[test]
fn the_start_of_a_native_guest() {
    fail_each("hello", || Guest::image(build::image("hello", "hello")));
}

#[test]
fn the_start_of_a_program_with_a_user_mode_network() {
    fail_each("user-mode network", || {
        Guest::image(build::image("hello-std", "hello-std")).flag("--net=user").flag("--timeout=50s")
    });
}

#[test]
fn the_start_of_a_guest_with_a_disk() {
    const BYTES: [u8; 8 * 512] = [b'.'; 8 * 512];
    let disk = Disk::of(&BYTES);
    fail_each("disk", || {
        std::fs::write(disk.path(), BYTES).expect("its file is ours");
        Guest::image(build::image("block-guests", "disk_use")).flag(disk.flag("")).argument("512")
    });
}

#[test]
fn the_start_of_a_guest_with_an_interface() {
    if !wire::alone() {
        return;
    }
    wire::ip("tuntap add tap0 mode tap");
    wire::ip("link set tap0 up");
    fail_each("interface", || Guest::image(build::image("hello-std", "hello-std")).flag("--net=tap:tap0"));
    wire::ip("link del tap0");
}
