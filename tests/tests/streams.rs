//! Standard streams that are closed when `husk` is started are no others' files.

use husk_tests::{CargoHusk, Disk, Guest, Outcome, Target, build, requires};
use std::process::Command;

const CLOSED: [&str; 4] = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"];
const PANIC: i32 = husk_abi::fault::PANIC as i32;

/// A shell's line that starts what follows without some streams.
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
            // Not a byte of the image, which was opened first.
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
fn run_without_streams(tool: &std::path::Path, words: &[&str]) -> Outcome {
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
