//! A process that gets an input and a limited time.

use crate::{Outcome, Running};
use std::process::Command;
use std::time::Duration;

/// How often a tender is killed at a moment of no choice: so often, or as `HUSK_KILLS` says.
pub fn kills(usual: u64) -> u64 {
    std::env::var("HUSK_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// A bound on how long something may take: `usual`, times `HUSK_SLOW` on a machine that is that much slower.
pub fn patience(usual: Duration) -> Duration {
    let factor = std::env::var("HUSK_SLOW").ok().and_then(|factor| factor.parse::<u32>().ok());
    usual * factor.unwrap_or(1)
}

/// Runs `command` to its end, with `input` on its standard input. Ends it after `timeout`, which fails the test.
#[track_caller]
pub fn run(command: Command, input: Vec<u8>, timeout: Duration) -> Outcome {
    Running::start(format!("{command:?}"), command, timeout).input(input).finish()
}

/// Runs `command`, which starts no guest and takes no input, to its end.
#[track_caller]
pub fn run_briefly(command: &mut Command) -> Outcome {
    let program = std::mem::replace(command, Command::new(""));
    run(program, vec![], Duration::from_secs(60))
}
