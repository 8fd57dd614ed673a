//! Programs as processes of this machine, to compare guests with.

use crate::{bounded, build};
use std::process::Command;
use std::time::Duration;

/// What the program `name` of `package` prints to standard output; it must end well, within a minute.
#[track_caller]
pub fn output(package: &str, name: &str) -> String {
    let command = Command::new(build::native(package, name));
    let outcome = bounded::run(command, vec![], Duration::from_secs(60));
    outcome.expect_success();
    outcome.stdout()
}
