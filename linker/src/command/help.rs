//! `cargo husk help`: of everything, of a command or of a flag.

use crate::arguments::Help;
use crate::error::{Error, Result};
use crate::reference::program;
use clap::Command;
use husk_flags::{disk, help};
use std::io::Write;
use std::process::ExitCode;

/// Explains a topic of `command`, which is `cargo husk`.
pub fn run(mut command: Command, help: &Help) -> Result<ExitCode> {
    let Some(topic) = help.topic.as_deref() else { return print(command.render_long_help().to_string()) };
    // The help of `husk disk` is that of its table.
    if let Some(subcommand) = command.find_subcommand_mut(topic).filter(|_| topic != disk::COMMAND.name) {
        return print(subcommand.render_long_help().to_string());
    }
    let text = help::about(&program(&command), topic).ok_or_else(|| {
        Error::new(format!(
            "there is no command or flag '{topic}'; 'cargo husk run --help' lists those of 'cargo husk run'"
        ))
    })?;
    print(text)
}

/// Prints a text.
pub fn print(text: String) -> Result<ExitCode> {
    // A failure means that the reader is gone.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
