//! A process with an input and a time limit.

use crate::{Outcome, Running};
use std::process::Command;
use std::time::Duration;

/// Number of times that a tender is killed at a random moment: `HUSK_KILLS`, or else `usual`.
pub fn kills(usual: u64) -> u64 {
    std::env::var("HUSK_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Time limit: `usual`, times `HUSK_SLOW` on a machine that is slower by this factor.
pub fn patience(usual: Duration) -> Duration {
    let factor = std::env::var("HUSK_SLOW").ok().and_then(|factor| factor.parse::<u32>().ok());
    usual * factor.unwrap_or(1)
}

/// Runs `command` to its end, with `input` on its standard input. A run beyond `timeout` is killed and fails the test.
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
