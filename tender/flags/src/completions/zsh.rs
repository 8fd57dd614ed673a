//! Completions for zsh.

use super::{Candidates, arguments, values};
use crate::{Command, Flag, Program};
use std::fmt::Write;

/// Returns the script: a file of `$fpath`, or to be sourced. cargo's own completions call the one of `cargo husk`.
pub fn script(program: &Program<'_>) -> String {
    let called = program.name.replace(' ', "-");
    let function = format!("_{called}");
    let commands: String = program
        .commands
        .iter()
        .map(|command| format!("            {}\n", quoted(&format!("{}:{}", command.name, command.summary))))
        .collect();
    let cases: String = program.commands.iter().map(|command| of_command(program, command)).collect();
    format!(
        "#compdef {called}\n\
         # Completions of {name} for zsh.\n\n\
         {function}() {{\n    \
             if (( CURRENT == 2 )); then\n        \
                 local -a commands=(\n{commands}        )\n        \
                 _describe command commands\n        \
                 return\n    \
             fi\n    \
             local command=$words[2]\n    \
             shift words\n    \
             (( CURRENT-- ))\n    \
             case $command in\n{cases}    \
             esac\n\
         }}\n\n\
         if [[ $funcstack[1] == {function} ]]; then\n    \
             {function} \"$@\"\n\
         else\n    \
             compdef {function} {called}\n\
         fi\n",
        name = program.name,
    )
}

/// Returns the case of one command.
fn of_command(program: &Program<'_>, command: &Command<'_>) -> String {
    let mut text = format!("        {})\n            _arguments", command.name);
    for flag in command.flags {
        let _ = write!(text, " \\\n                {}", of_flag(flag));
    }
    let _ = write!(text, " \\\n                '(-h --help)'{{-h,--help}}'[Print help]'");
    let _ = writeln!(
        text,
        " \\\n                {} ;;",
        quoted(&format!("*:argument:{}", action(arguments(program, command.argument))))
    );
    text
}

/// Returns the specification of one flag, as `_arguments` takes it.
fn of_flag(flag: &Flag<'_>) -> String {
    let help = escaped(&flag.description(), &['[', ']', '\\']);
    let value =
        flag.value.map_or(String::new(), |value| format!(":{}:{}", escaped(value, &[':', '\\']), action(values(flag))));
    let (long, short) = match flag.value {
        Some(_) => (format!("--{}=", flag.long), flag.short.map(|letter| format!("-{letter}+"))),
        None => (format!("--{}", flag.long), flag.short.map(|letter| format!("-{letter}"))),
    };
    let others = match (flag.repeats, flag.short) {
        (true, _) => "*".to_owned(),
        (false, Some(letter)) => format!("(-{letter} --{})", flag.long),
        (false, None) => String::new(),
    };
    match short {
        Some(short) => format!("{}{{{short},{long}}}{}", quoted(&others), quoted(&format!("[{help}]{value}"))),
        None => quoted(&format!("{others}{long}[{help}]{value}")),
    }
}

/// Returns what offers these words.
fn action(candidates: Candidates<'_>) -> String {
    match candidates {
        Candidates::Files([]) => "_files".to_owned(),
        Candidates::Files(words) => format!("{{compadd {}; _files}}", words.join(" ")),
        Candidates::Words(words) if words.is_empty() => " ".to_owned(),
        Candidates::Words(words) => format!("({})", words.join(" ")),
    }
}

/// Returns `text` with a backslash before each of these characters.
fn escaped(text: &str, special: &[char]) -> String {
    text.chars()
        .flat_map(|character| special.contains(&character).then_some('\\').into_iter().chain([character]))
        .collect()
}

/// Returns `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
