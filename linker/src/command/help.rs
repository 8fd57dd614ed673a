//! `cargo husk help`: of everything, of a command or of a flag.

use crate::arguments::Help;
use crate::error::{Error, Result};
use crate::reference;
use clap::Command;
use husk_flags::help;
use std::process::ExitCode;

/// Explains a topic of `command`, which is `cargo husk`.
pub fn run(mut command: Command, help: &Help) -> Result<ExitCode> {
    let printed = match help.topic.as_deref() {
        None => command.print_long_help(),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(subcommand) => subcommand.print_long_help(),
            None => {
                print!("{}", explained(&command, topic)?);
                Ok(())
            }
        },
    };
    // A failure means that the reader is gone.
    Ok(if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the explanation of a flag, with or without its dashes.
fn explained(command: &Command, flag: &str) -> Result<String> {
    help::about(&reference::program(command), flag).ok_or_else(|| {
        Error::new(format!(
            "there is no command or flag '{flag}'; 'cargo husk run --help' lists those of 'cargo husk run'"
        ))
    })
}
