//! Loud skips: a test that this machine cannot run says so in the output of the whole run.
//!
//! libtest captures what tests print with `print!` and `eprintln!`, and shows it only if they fail; a test that returns
//! early counts as passed. A write to the standard error stream itself is not captured.

use std::collections::BTreeSet;
use std::fmt::Arguments;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Prints what is skipped, and why; takes the arguments of `format!`. The caller returns afterwards.
#[macro_export]
macro_rules! skip {
    ($($what:tt)*) => { $crate::say(::core::format_args!($($what)*)) };
}

/// Prints `what` once in this process, even if several tests skip it.
pub fn say(what: Arguments<'_>) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let what = what.to_string();
    let line = format!("\n*** SKIPPED: {what} ***\n\n");
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what) {
        // A single write, because tests run beside each other. A failure cannot be reported anywhere.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    #[ignore = "run by the next test"]
    fn skips_twice() {
        for number in [7, 7] {
            skip!("part {number} of it");
        }
    }

    #[test]
    fn a_skip_is_seen_once_though_the_test_passes() {
        let mut tests = Command::new(std::env::current_exe().expect("a test"));
        let output = tests.args(["--ignored", "--exact", "tests::skips_twice"]).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert_eq!(stderr.matches("*** SKIPPED: part 7 of it ***").count(), 1, "{stderr}");
    }
}
