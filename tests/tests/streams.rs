//! Standard streams: no other file takes the place of one that is closed when `husk` is started; a closed standard error
//! changes no exit status, and a slow reader of it loses nothing.

#![expect(unsafe_code, reason = "O_NONBLOCK is set by fcntl(2)")]

use husk_tests::{CargoHusk, Disk, Guest, Outcome, Running, Target, build, requires};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const CLOSED: [&str; 4] = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"];
const PANIC: i32 = husk_abi::fault::PANIC as i32;

/// Shell script that runs its arguments as a command without some streams.
fn without(streams: &str) -> String {
    format!("exec \"$@\" {streams}")
}

fn disk_prints(disk: &Disk, target: Target) -> Guest {
    Guest::image(build::image("block-guests", "disk_prints")).flag(target.flag()).flag(disk.flag(""))
}

#[test]
fn what_a_guest_prints_without_streams_is_not_on_its_disk() {
    for target in Target::all() {
        for closed in CLOSED {
            let disk = Disk::empty(1 << 20);
            let outcome = disk_prints(&disk, target).through(&["sh", "-c", &without(closed), "sh"]).run();
            outcome.expect_status(PANIC);
            assert!(disk.bytes().iter().all(|byte| *byte == 0), "{closed} {}: the disk has changed", target.name());
            // No byte of the image, although it was opened first.
            let report = outcome.stderr();
            assert!(closed.contains("2>&-") || report.contains("read Ok(0)"), "{closed}: {outcome}");
            let expected = if closed.contains(" >&-") || closed == ">&-" { "" } else { "printed\n" };
            assert_eq!(outcome.stdout(), expected, "{closed}: {outcome}");
        }
    }
}

#[test]
fn a_stream_that_cannot_be_opened_is_refused() {
    if !requires::root() {
        return;
    }
    let private_dev = "mount --make-rprivate / && mount -t tmpfs none /dev && exec \"$@\" <&-";
    let disk = Disk::empty(1 << 20);
    let guest = disk_prints(&disk, Target::Spt).through(&["unshare", "--mount", "sh", "-c", private_dev, "sh"]);
    guest.run().expect_refusal(&["a standard stream is closed", "/dev/null"]);
}

/// Runs a tool without any stream.
fn run_without_streams(tool: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &without(CLOSED[3]), "sh"]).arg(tool).args(words).current_dir(build::workspace());
    CargoHusk::of(command).run()
}

#[test]
fn every_command_does_without_streams() {
    let image = build::image("hello", "hello");
    let image = image.to_str().expect("UTF-8");
    let commands: [&[&str]; 6] = [
        &["--help"],
        &["--version"],
        &["inspect", image],
        &["run", "--explain", image],
        &["run", image],
        &["nonsense"],
    ];
    for words in commands {
        let outcome = run_without_streams(build::husk(), words);
        let expected = if words == ["nonsense"] { husk_abi::fault::TENDER_ERROR.into() } else { 0 };
        assert_eq!(outcome.status(), expected, "{words:?}: {outcome}");
    }
}

#[test]
fn cargo_husk_does_without_streams() {
    let disk = Disk::empty(1 << 20);
    let block = disk.flag("");
    let run = ["husk", "run", "--release", "--package", "block-guests", "--bin", "disk_prints", &block];
    run_without_streams(build::cargo_husk(), &run).expect_status(PANIC);
    assert!(disk.bytes().iter().all(|byte| *byte == 0), "the disk has changed");
    run_without_streams(build::cargo_husk(), &["husk", "build", "--release", "--package", "hello"]).expect_success();
}

/// Runs of `husk` that write to standard error: a refusal, lines of --verbose, reports on faults; with their status.
fn runs_that_say_something() -> Vec<(Vec<String>, i32)> {
    let image = |package: &str, name: &str| build::image(package, name).display().to_string();
    let mut runs = vec![(vec!["/nonexistent".to_owned()], husk_abi::fault::TENDER_ERROR.into())];
    for target in Target::all() {
        let run = |flag: &str, image| vec![target.flag().to_owned(), flag.to_owned(), image];
        runs.push((run("--no-aslr", image("guests", "undefined")), husk_abi::fault::ILLEGAL_INSTRUCTION.into()));
        runs.push((run("--verbose", image("hello-std", "hello-std")), 0));
        runs.push((run("--verbose", image("programs", "unanswered")), 0));
    }
    runs
}

fn start(words: &[String], stderr: PipeWriter) -> Running {
    let mut command = Command::new(build::husk());
    command.arg("run").args(words);
    Running::with_stderr(stderr, command)
}

#[test]
fn a_standard_error_without_a_reader_changes_no_status() {
    for (words, status) in runs_that_say_something() {
        let (reader, stderr) = io::pipe().expect("a pipe");
        drop(reader);
        start(&words, stderr).finish().expect_status(status);
    }
}

/// Full pipe with a non-blocking writing end; and the number of bytes in it.
fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    // SAFETY: `writer` keeps the descriptor open, and F_SETFL takes no pointer.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let mut filled = 0;
    while let Ok(count) = writer.write(&[b'.'; 4096]) {
        filled += count;
    }
    (reader, writer, filled)
}

#[test]
fn a_slow_reader_of_a_standard_error_that_does_not_block_loses_nothing() {
    for (words, status) in runs_that_say_something() {
        let (mut reader, stderr, filled) = full_pipe();
        let running = start(&words, stderr);
        // Long enough for `husk` to find the pipe full; too short is no failure.
        thread::sleep(Duration::from_millis(100));
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("a pipe");
        running.finish().expect_status(status);
        let said = String::from_utf8_lossy(&text[filled..]).into_owned();
        let lines = said.lines().filter(|line| line.starts_with("husk: ")).count();
        assert!(lines > 0 && said.ends_with('\n'), "{words:?}: '{said}'");
    }
}

#[test]
fn a_standard_error_that_nobody_reads_ends_no_run_and_holds_none_up_for_ever() {
    let (reader, stderr, _) = full_pipe();
    let ended = start(&["/nonexistent".to_owned()], stderr).finish();
    ended.expect_status(husk_abi::fault::TENDER_ERROR.into());
    drop(reader);
}
