//! Standard streams are of the kind that husk's own are, with a terminal where there is one.

use husk_tests::terminal::{OnTerminal, WINDOW};
use husk_tests::{Guest, build, process};
use std::process::Command;

/// The program as a guest.
fn guest() -> Command {
    let mut command = Command::new(build::husk());
    command.args(["run", "--"]).arg(build::image("programs", "terminal"));
    command
}

fn native() -> Command {
    Command::new(build::native("programs", "terminal"))
}

/// Uses the program, which ends without a thought of the terminal's modes. Returns what it printed.
fn session(command: Command) -> String {
    let mut on = OnTerminal::start(command);
    on.expect(&format!("raw: true, in the foreground: true, window {WINDOW:?}")).press(b"k").expect("key 107");
    // No longer a signal.
    on.press(b"\x03").expect("key 3").press(b"c").expect("window [24, 80], changed: false").resize([50, 132]);
    // The signal comes when it comes.
    while !on.has_printed("window [50, 132], changed: true") {
        on.press(b"c").expect("window [50, 132], changed: ");
    }
    on.press(b"r").expect("restored");
    let (status, printed) = on.finish();
    assert!(status.success(), "{status} {printed}");
    printed.replace("window [50, 132], changed: false\r\n", "").replace("window [50, 132], changed: true\r\n", "")
}

#[test]
fn keys_and_windows_of_a_terminal_reach_the_guest_as_natively() {
    assert_eq!(session(guest()), session(native()));
}

#[test]
fn modes_are_as_before_when_the_guest_ends_however_it_does() {
    for (keys, signal) in [(&b"q"[..], None), (b"p", None), (b"", Some(libc::SIGTERM)), (b"", Some(libc::SIGHUP))] {
        let mut on = OnTerminal::start(guest());
        on.expect("raw: true");
        let raw = on.modes();
        on.press(keys);
        if let Some(signal) = signal {
            process::signal(on.id().into(), signal);
        }
        let (_, printed) = on.finish();
        let after = on.modes();
        assert_eq!(after, OnTerminal::start(Command::new("true")).modes(), "{keys:?} {signal:?} {printed}");
        assert_ne!(after, raw, "the guest had set others");
    }
}

#[test]
fn a_console_that_is_escaped_is_no_terminal() {
    let mut command = Command::new(build::husk());
    command.args(["run", "--console=escaped", "--"]).arg(build::image("programs", "terminal"));
    let mut on = OnTerminal::start(command);
    let before = on.modes();
    let (status, printed) = on.expect("Not a tty").finish();
    assert!(!status.success() && on.modes() == before, "{printed}");
}

#[test]
fn streams_are_files_and_pipes_as_natively() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("from"), "0123456789").expect("our folder");
    for line in ["exec \"$@\" < from", "exec \"$@\" < from > to", "printf 0123456789 | \"$@\" > to"] {
        let line = format!("cd {} && {line}", folder.path().display());
        let through = ["sh", "-c", &line, "sh"];
        let outcome = Guest::program("terminal").argument("kinds").through(&through).run();
        let native = build::native("programs", "terminal");
        let expected = Command::new("sh").args(["-c", &line, "sh"]).arg(native).arg("kinds").output().expect("a shell");
        assert_eq!(outcome.stderr(), String::from_utf8_lossy(&expected.stderr), "{line}");
    }
}
