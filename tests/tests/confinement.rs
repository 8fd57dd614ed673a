//! Confinement of the tender before the guest runs: each of the tender's threads, once it is confined, tries what an attacker
//! would try that has taken it over.

use husk_tests::{Disk, End, Guest, Outcome, build, requires, run_briefly, skip};
use std::process::Command;

/// SIGSYS, the signal of a system call that is not in the tables.
const BAD_CALL: i32 = 31;
const PERMISSION: i32 = 1;
const ACCESS: i32 = 13;

/// Attempts that must fail in every thread, whatever is attached.
const NEVER: &[&str] = &[
    "execve",
    "execveat",
    "fork",
    "clone",
    "ptrace",
    "kill",
    "tgkill",
    "process_vm_readv",
    "openat2",
    "unlink",
    "mkdir",
    "chroot",
    "mount",
    "unix_socket",
    "raw_socket",
    "netlink_socket",
    "tcp_bind",
    "map_code",
    "map_file",
    "protect_code",
    "protect_by_key",
    "share_memory",
    "personality",
    "unshare",
    "pidfd_open",
    "perf_event_open",
    "keyctl",
    "signal_of_another_kind",
    "process_vm_writev",
    "memfd",
    "io_uring_setup",
    "io_uring_register",
    "terminal_input",
    "unfilter_registers",
    "set_registers",
    "create_processor",
    "prctl",
    "seccomp",
    "setuid",
    "bpf",
    "userfaultfd",
    "x32",
    "call_of_32_bits",
    "merge_pages",
    "write_elsewhere",
    "write_parts_elsewhere",
    "discard_elsewhere",
    "read_output",
    "write_input",
    "close_output",
    "duplicate",
    "clear_append",
    "send_to_output",
    "take_signal",
    "handle_signal",
];

/// Attempts that must fail in both threads of a guest with a disk: the allowed calls are for the disk only.
const ELSEWHERE: &[&str] =
    &["write_elsewhere", "write_parts_elsewhere", "discard_elsewhere", "read_output", "write_input", "close_output"];

fn hello() -> Guest {
    Guest::image(build::image("hello-std", "hello-std"))
}

/// Checks that the attempt was made, and failed with this error.
#[track_caller]
fn expect_failed(outcome: &Outcome, attempt: &str, error: i32) {
    outcome.expect_success().expect_stderr(&format!("attack: {attempt} failed: {error}\n"));
}

/// Checks that the attempt ended the tender at once.
#[track_caller]
fn expect_killed(outcome: &Outcome, attempt: &str) {
    assert_eq!(outcome.end(), End::Signal(BAD_CALL), "{attempt}: {outcome}");
    assert!(!outcome.stderr().contains("attack:"), "{attempt}: {outcome}");
}

#[test]
fn attempts_are_made_when_the_tender_is_built_for_them() {
    for thread in ["process", "processor", "devices"] {
        let outcome = hello().flag("--net=user").attack(thread, "nothing").run();
        outcome.expect_success().expect_stderr("attack: nothing succeeded: 0\n");
    }
}

#[test]
fn the_thread_of_the_processor_makes_no_call_that_it_does_not_need() {
    for attempt in NEVER.iter().chain(&["tcp_socket", "tcp_connect"]) {
        expect_killed(&hello().attack("processor", attempt).run(), attempt);
    }
}

#[test]
fn the_thread_of_the_devices_makes_no_call_that_they_do_not_need() {
    for attempt in NEVER {
        expect_killed(&hello().flag("--net=user").attack("devices", attempt).run(), attempt);
    }
    let disk = Disk::empty(1 << 20);
    for attempt in ["tcp_socket", "execve", "io_uring_setup"] {
        let guest = Guest::image(build::image("block-guests", "disk_use"));
        let outcome = guest.flag(disk.flag("")).argument("512").attack("devices", attempt).run();
        expect_killed(&outcome, attempt);
    }
}

#[test]
fn calls_of_a_disk_are_for_the_disk() {
    let disk = Disk::empty(1 << 20);
    for thread in ["processor", "devices"] {
        for attempt in ELSEWHERE {
            let guest = Guest::image(build::image("block-guests", "disk_use"));
            let outcome = guest.flag(disk.flag("")).argument("512").attack(thread, attempt).run();
            expect_killed(&outcome, attempt);
        }
    }
}

#[test]
fn sockets_are_for_the_user_mode_network_and_never_bound() {
    for thread in ["processor", "devices"] {
        let attempt = |attempt| hello().flag("--net=user").attack(thread, attempt).run();
        attempt("tcp_socket").expect_success().expect_stderr("attack: tcp_socket succeeded");
        expect_killed(&attempt("tcp_bind"), "tcp_bind");
    }
}

#[test]
fn files_are_not_opened_and_code_is_not_moved_by_either() {
    for thread in ["processor", "devices"] {
        for attempt in ["open", "create", "move_code"] {
            let outcome = hello().flag("--net=user").attack(thread, attempt).run();
            expect_failed(&outcome, attempt, ACCESS);
        }
    }
}

/// Returns true if this kernel has at least version `least` of Landlock; otherwise skips loudly.
fn landlock(least: u32) -> bool {
    let mut husk = Command::new(build::husk());
    let text = run_briefly(husk.args(["run", "--explain", "--json"]).arg(build::image("hello", "hello"))).stdout();
    let (_, rest) = text.split_once("\"landlock_version\":").expect("it is told");
    let version: u32 = rest.split(',').next().and_then(|version| version.parse().ok()).unwrap_or(0);
    if version < least {
        skip!("what Landlock {least} closes, as this kernel has {version}");
    }
    version >= least
}

#[test]
fn what_has_a_name_is_out_of_reach_without_any_filter() {
    if !landlock(6) {
        return;
    }
    for (attempt, error) in [
        ("open", ACCESS),
        ("create", ACCESS),
        ("mkdir", ACCESS),
        ("execve", ACCESS),
        ("tcp_bind", ACCESS),
        ("tcp_connect", ACCESS),
        ("kill", PERMISSION),
    ] {
        expect_failed(&hello().attack("process", attempt).run(), attempt, error);
    }
    // With a network, sockets may be connected, but not bound.
    expect_failed(&hello().flag("--net=user").attack("process", "tcp_bind").run(), "tcp_bind", ACCESS);
}

#[test]
fn time_zones_can_be_read_without_any_filter_and_nothing_else() {
    if !std::path::Path::new("/usr/share/zoneinfo/UTC").exists() {
        skip!("time zones, as the host has none (apt install tzdata)");
        return;
    }
    if !landlock(6) {
        return;
    }
    hello().attack("process", "read_zone").run().expect_success().expect_stderr("attack: read_zone succeeded");
    expect_failed(&hello().attack("process", "write_zone").run(), "write_zone", ACCESS);
    expect_failed(&hello().flag("--no-host-files").attack("process", "read_zone").run(), "read_zone", ACCESS);
}

#[test]
fn root_is_nobody_special_once_the_guest_runs() {
    for attempt in ["raw_socket", "chroot", "mount", "bpf"] {
        let outcome = hello().attack("process", attempt).run();
        outcome.expect_success().expect_stderr(&format!("attack: {attempt} failed: "));
    }
    hello().attack("process", "dumpable").run().expect_stderr("attack: dumpable succeeded: 0\n");
    if requires::root() {
        let outcome = hello().flag("--user=65534:65534").attack("process", "setuid").run();
        expect_failed(&outcome, "setuid", PERMISSION);
    }
}

#[test]
fn what_was_left_open_by_accident_is_closed() {
    let leaky = ["bash", "-c", "exec 77< /etc/passwd; exec \"$@\"", "bash"];
    let outcome = hello().through(&leaky).attack("process", "inherited").run();
    const NOT_OPEN: i32 = 9;
    expect_failed(&outcome, "inherited", NOT_OPEN);
}

#[test]
fn a_user_to_be_takes_root() {
    if requires::root() {
        hello().user(65534).flag("--user=0").run().expect_refusal(&["--user takes root"]);
    }
}

#[test]
fn what_a_run_may_do_is_explained_without_it() {
    let image = build::image("hello-std", "hello-std");
    let explain = |flags: &[&str]| {
        let outcome = run_briefly(Command::new(build::husk()).args(["run", "--explain"]).args(flags).arg(&image));
        outcome.expect_success().stdout()
    };
    let plain = explain(&["--target=hvt"]);
    assert!(plain.contains("system calls of the processor's thread") && !plain.contains("devices's"), "{plain}");
    assert!(plain.contains("KVM_RUN: runs the guest") && !plain.contains("Hello"), "{plain}");
    assert!(!plain.contains("sentinel"), "{plain}");
    let network = explain(&["-p", "8080:80", "--allow", "192.0.2.0/24:443"]);
    for part in
        ["clients of TCP 127.0.0.1:8080, at port 80", "connections to 192.0.2.0/24, port 443", "nothing else", "sendto"]
    {
        assert!(network.contains(part), "no '{part}' in {network}");
    }
    let process = explain(&["--target=spt"]);
    assert!(process.contains("in husk's own process") && !process.contains("KVM"), "{process}");
    assert!(process.contains("argument 4 is known to no other thread"), "{process}");
    let json = explain(&["--target=hvt", "--json", "--net", "user"]);
    assert!(json.starts_with('{') && json.ends_with("}\n") && json.lines().count() == 1, "{json}");
    assert!(
        json.contains(
            r#"{"feature":"KVM","call":"ioctl","only":["argument 1 is 0xae80","argument 0 is the virtual processor"],"#
        ),
        "{json}"
    );
}
