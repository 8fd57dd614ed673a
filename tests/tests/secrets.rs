//! Values of a guest's environment that are on no command line and in no report.

use husk_abi::fault;
use husk_tests::{Guest, Target, requires};
use std::fs;
use std::os::unix::fs::MetadataExt;
use tempfile::NamedTempFile;

const SECRET: &str = "hunter2-of-the-tests";

/// Guest of a husk that has the secret in its environment as TOKEN, and passes TOKEN on.
fn entrusted(guest: Guest) -> Guest {
    guest.through(&["env", &format!("TOKEN={SECRET}")]).flag("--env=TOKEN")
}

fn file(text: &str) -> (NamedTempFile, String) {
    let file = NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("our file");
    let flag = format!("--env-file={}", file.path().display());
    (file, flag)
}

#[test]
fn a_name_alone_passes_on_the_value_that_husk_has() {
    for target in Target::all() {
        let outcome = entrusted(Guest::program("arguments")).flag(target.flag()).run();
        outcome.expect_success().expect_stdout(&format!("TOKEN={SECRET}\n"));
    }
}

#[test]
fn a_name_that_husk_does_not_have_is_an_error() {
    for flag in ["--env=HUSK_TESTS_NO_SUCH", "-eHUSK_TESTS_NO_SUCH"] {
        let outcome = Guest::native("idle").flag(flag).run();
        outcome.expect_refusal(&["--env: HUSK_TESTS_NO_SUCH is not in husk's own environment", "NAME=VALUE"]);
    }
    Guest::native("idle").flag("--env==value").run().expect_refusal(&["--env: a variable has no name"]);
}

#[test]
fn a_secret_is_on_no_command_line() {
    for target in Target::all() {
        let guest = entrusted(Guest::native("endless")).argument("sleep").flag(target.flag());
        let mut running = guest.spawn();
        running.expect_printed("ready", 1);
        let line = fs::read_to_string(format!("/proc/{}/cmdline", running.id())).expect("it runs");
        assert!(line.contains("TOKEN") && !line.contains(SECRET), "{line}");
        running.signal("TERM", 1);
        running.finish().expect_status(128 + 15);
    }
}

#[test]
fn the_environment_of_a_husk_that_runs_is_roots_to_read() {
    if !requires::root() {
        return;
    }
    const NOBODY: u32 = 65534;
    let guest = entrusted(Guest::native("endless")).argument("sleep").flag("--target=spt").user(NOBODY);
    let mut running = guest.spawn();
    running.expect_printed("ready", 1);
    let owner = |name: &str| fs::metadata(format!("/proc/{}/{name}", running.id())).expect("it runs").uid();
    // The process belongs to the user, but its environment to root: other processes of the user cannot read it.
    assert_eq!((owner(""), owner("environ")), (NOBODY, 0));
    running.signal("TERM", 1);
    running.finish().expect_status(128 + 15);
}

#[test]
fn a_secret_is_in_no_report() {
    for target in Target::all() {
        let status = NamedTempFile::new().expect("a file");
        let flag = format!("--status-file={}", status.path().display());
        let crash = entrusted(Guest::native("undefined")).flag(target.flag()).flag("--verbose").flag(flag).run();
        crash.expect_status(fault::ILLEGAL_INSTRUCTION.into());
        let record = fs::read_to_string(status.path()).expect("our file");
        for text in [crash.stdout(), crash.stderr(), record] {
            assert!(!text.is_empty() || text == crash.stdout());
            assert!(!text.contains(SECRET), "{text}");
        }
        let explained = entrusted(Guest::native("undefined")).flag(target.flag()).flag("--explain").run();
        assert!(!explained.expect_success().stdout().contains(SECRET), "{explained}");
    }
}

#[test]
fn a_file_sets_what_the_command_line_does_not() {
    let (_kept, flag) = file("# the first line\n\n  A=1\nB=\"two words\" # all of it\r\nTOKEN\nC=\nD=of the file");
    let guest = Guest::program("arguments").through(&["env", &format!("TOKEN={SECRET}")]);
    let outcome = guest.flag("--env=D=of the line").flag(flag).run();
    let expected = format!("A=1\nB=\"two words\" # all of it\nTOKEN={SECRET}\nC=\nD=of the line\n");
    outcome.expect_success().expect_stdout(&expected);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    let mark = "\u{feff}";
    let (_kept, flag) = file(&format!("{mark}A=1\n{mark}B=2\n"));
    let outcome = Guest::program("arguments").flag(flag).run();
    // A mark elsewhere is a character like any other.
    outcome.expect_success().expect_stdout(&format!("A=1\n{mark}B=2\n"));
}

#[test]
fn what_is_wrong_in_a_file_is_named_by_its_line_and_not_repeated() {
    let refused = |text: &str, part: &str| {
        let (kept, flag) = file(text);
        let outcome = Guest::native("idle").flag(flag).run();
        outcome.expect_refusal(&[&kept.path().display().to_string(), part]);
        assert!(!outcome.stderr().contains(SECRET), "{outcome}");
    };
    refused(&format!("A=1\n={SECRET}\n"), "line 2: a variable has no name");
    refused(&format!("export A={SECRET}\n"), "line 1: a name has a space");
    refused(&format!("A={SECRET}\0\n"), "line 1: a name has a space or a null byte");
    refused("HUSK_TESTS_NO_SUCH\n", "line 1: a variable is not in husk's own environment");
    refused(&"A=1\n".repeat(300_000), "larger than 1M");
    let missing = Guest::native("idle").flag("--env-file=/no/such").run();
    missing.expect_refusal(&["--env-file /no/such", "name a file of lines NAME=VALUE"]);
}
