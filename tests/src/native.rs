//! Programs as processes of this machine, for comparison with guests.

use crate::{bounded, build};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Returns the standard output of the program `name` of `package`, which must succeed within a minute.
#[track_caller]
pub fn output(package: &str, name: &str) -> String {
    output_with(package, name, &[])
}

/// Returns that of a program with arguments likewise.
#[track_caller]
pub fn output_with(package: &str, name: &str, arguments: &[&str]) -> String {
    output_of(&build::native(package, name), arguments)
}

/// Returns that of the program in this file likewise.
#[track_caller]
pub fn output_of(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let outcome = bounded::run(command, vec![], Duration::from_secs(60));
    outcome.expect_success();
    outcome.stdout()
}
