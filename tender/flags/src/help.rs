//! The help texts.

use crate::{Command, Flag, Program};
use std::fmt::Write;

/// Returns the help of a program: its commands.
pub fn overview(program: &Program<'_>) -> String {
    let mut text = format!("{}\n\nCommands:\n", program.about);
    // Writing to a string cannot fail.
    for command in program.commands {
        let _ = writeln!(text, "  {:<56} {}", command.usage, command.summary);
    }
    let name = program.name;
    let _ = writeln!(
        text,
        "\n`{name} COMMAND --help` explains a command, `{name} help FLAG` a flag; `{name} --version` prints the version."
    );
    text
}

/// Returns the help of one command.
pub fn command(command: &Command<'_>) -> String {
    let mut text = format!("{}\n\nUsage: {}\n\nFlags:\n", command.about, command.usage);
    for flag in command.flags {
        let _ = writeln!(text, "  {:<26} {}", spelling(flag), description(command, flag));
    }
    let _ = writeln!(text, "  {:<26} Print this help", "-h, --help");
    text + &sections(command)
}

/// Returns the description of a flag, with a hint if a paragraph of [`sections`] explains it.
pub fn description(command: &Command<'_>, flag: &Flag<'_>) -> String {
    let hint = if command.sections_about(flag).next().is_some() { "; see below" } else { "" };
    flag.description() + hint
}

/// Returns the paragraphs after the flags of a command.
pub fn sections(command: &Command<'_>) -> String {
    command.sections.iter().map(|section| format!("\n{}: {}\n", section.title, section.text)).collect()
}

/// Returns the help of the command or the flags called `word`, a flag with or without its dashes.
pub fn about(program: &Program<'_>, word: &str) -> Option<String> {
    if let Some(known) = program.commands.iter().find(|command| command.name == word) {
        return Some(command(known));
    }
    let name = word.trim_start_matches('-');
    let of_flag = |command: &&Command<'_>| {
        let flag = command.flags.iter().find(|flag| flag.is_called(name))?;
        let sections = command.sections_about(flag).map(|section| format!("\n{}: {}\n", section.title, section.text));
        let (program, command, sections) = (program.name, command.name, sections.collect::<String>());
        Some(format!("{program} {command} {}\n    {}\n{sections}", spelling(flag).trim_start(), flag.description()))
    };
    let text = program.commands.iter().filter_map(of_flag).collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then_some(text)
}

/// Spelling of a flag on the command line, with its value.
fn spelling(flag: &Flag<'_>) -> String {
    let short = flag.short.map_or("   ".to_owned(), |letter| format!("-{letter},"));
    let value = flag.value.map_or(String::new(), |value| format!(" {value}"));
    format!("{short} --{}{value}", flag.long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HUSK, run};

    #[test]
    fn help_names_every_flag_and_where_it_is_explained() {
        let help = command(&run::COMMAND);
        for flag in run::COMMAND.flags {
            assert!(help.contains(&format!("--{}", flag.long)) && help.contains(flag.help), "{}", flag.long);
        }
        assert!(help.contains("-m, --memory SIZE          Guest memory, such as 64M or 2G; default: what"), "{help}");
        assert!(help.contains("passt:SOCKET; may be repeated; see below\n"), "{help}");
    }

    #[test]
    fn paragraphs_are_about_flags_that_exist() {
        for command in HUSK.commands {
            let names = command.sections.iter().flat_map(|section| section.flags);
            for name in names {
                assert!(command.flags.iter().any(|flag| flag.long == *name), "{}: {name}", command.name);
            }
        }
    }

    #[test]
    fn help_explains_one_flag() {
        let shown = |word: &str| about(&HUSK, word).expect(word);
        for flag in run::COMMAND.flags {
            let help = shown(flag.long);
            assert!(help.starts_with("husk run -") && help.contains(flag.help), "{help}");
            assert_eq!(help, shown(&format!("--{}", flag.long)));
        }
        assert_eq!(shown("-p"), shown("publish"));
        assert!(shown("publish").contains("\nPublished ports: "));
        assert!(shown("net").contains("\nNetworks: ") && !shown("net").contains("Exit status"));
        assert_eq!(shown("json").lines().filter(|line| line.starts_with("husk ")).count(), 3);
        assert_eq!(about(&HUSK, "frobnicate"), None);
    }
}
