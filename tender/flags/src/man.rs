//! The manual page, in the macros of man(7).

use crate::{Command, Program, Section};
use std::fmt::Write;

/// Returns the page of a program in this version.
pub fn page(program: &Program<'_>, version: &str) -> String {
    let name = program.name.replace(' ', "-");
    // Writing to a string cannot fail.
    let mut text = format!(".TH {} 1 \"\" \"{name} {version}\" \"Husk\"\n", name.to_uppercase());
    let about = program.about.trim_start_matches(program.name).trim().trim_end_matches('.');
    let _ = write!(text, ".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n", set(&name), set(about));
    for (index, command) in program.commands.iter().enumerate() {
        let line_break = if index > 0 { ".br\n" } else { "" };
        let _ = writeln!(text, "{line_break}{}", set(command.usage));
    }
    text += ".SH COMMANDS\n";
    for command in program.commands {
        of_command(&mut text, command);
    }
    if !program.environment.is_empty() {
        text += ".SH ENVIRONMENT\n";
        for (variable, meaning) in program.environment {
            let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", set(variable), set(meaning));
        }
    }
    let _ = write!(text, ".SH SEE ALSO\n{}\n", set(program.see_also));
    text
}

fn of_command(text: &mut String, command: &Command<'_>) {
    let _ = write!(text, ".SS {}\n{}\n", set(command.usage), set(command.about));
    for flag in command.flags {
        let short = flag.short.map_or(String::new(), |letter| format!("\\fB\\-{letter}\\fR, "));
        let value = flag.value.map_or(String::new(), |value| format!(" \\fI{}\\fR", set(value)));
        let _ = write!(text, ".TP\n{short}\\fB\\-\\-{}\\fR{value}\n{}.\n", set(flag.long), set(&flag.description()));
    }
    for Section { title, text: paragraph, .. } in command.sections {
        let _ = write!(text, ".PP\n\\fB{}:\\fR {}\n", set(title), set(paragraph));
    }
}

/// Returns text as the formatter takes it: words between backticks are bold.
fn set(text: &str) -> String {
    let mut set = String::new();
    for (index, part) in text.split('`').enumerate() {
        set += match index {
            0 => "",
            _ if index % 2 == 1 => "\\fB",
            _ => "\\fR",
        };
        for character in part.chars() {
            match character {
                '\\' => set += "\\e",
                '-' => set += "\\-",
                // groff reads pages as Latin-1, which has none.
                '…' => set += "...",
                // A line that begins with one of these would be a request.
                '.' | '\'' if set.is_empty() || set.ends_with('\n') => {
                    set += "\\&";
                    set.push(character);
                }
                _ => set.push(character),
            }
        }
    }
    set
}
