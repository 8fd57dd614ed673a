//! The page of the book about flags.

use crate::{Command, Program};
use std::fmt::Write;

/// Returns the page.
pub fn page(program: &Program<'_>) -> String {
    let mut text = "# Flags\n\n\
         `husk help FLAG` explains a flag, `cargo husk help FLAG` one of `cargo husk`. `cargo husk run`, `test` and `bench` take the flags\n\
         of `husk run` as well, except for the letters `-p` and `-v`, which are cargo's.\n"
        .to_owned();
    // Writing to a string cannot fail.
    for command in program.commands {
        of_command(&mut text, command);
    }
    text
}

fn of_command(text: &mut String, command: &Command<'_>) {
    let _ = write!(text, "\n## {}\n\n    {}\n\n{}\n", command.name, command.usage, command.about);
    if !command.flags.is_empty() {
        text.push_str("\n| flag | |\n|---|---|\n");
    }
    for flag in command.flags {
        let short = flag.short.map_or(String::new(), |letter| format!("`-{letter}`, "));
        let value = flag.value.map_or(String::new(), |value| format!(" {}", value.replace('|', "\\|")));
        let _ = writeln!(text, "| {short}`--{}{value}` | {} |", flag.long, flag.description().replace('|', "\\|"));
    }
    for section in command.sections {
        let _ = write!(text, "\n**{}:** {}\n", section.title, section.text);
    }
}
