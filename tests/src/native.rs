//! Programs as processes of this machine, for comparison with guests.

use crate::{bounded, build};
use std::process::Command;
use std::time::Duration;

/// Returns the standard output of the program `name` of `package`, which must succeed within a minute.
#[track_caller]
pub fn output(package: &str, name: &str) -> String {
    let command = Command::new(build::native(package, name));
    let outcome = bounded::run(command, vec![], Duration::from_secs(60));
    outcome.expect_success();
    outcome.stdout()
}
