//! Completions for fish.

use super::{Candidates, arguments, function, values};
use crate::Program;
use std::fmt::Write;

/// Returns the script. Completions of `cargo husk` are added to those of cargo.
pub fn script(program: &Program<'_>) -> String {
    let names: Vec<_> = program.name.split(' ').collect();
    let (called, at, function) = (names[0], names.len(), format!("_{}", function(program)));
    let mut text = format!(
        "# Completions of {name} for fish.\n\n\
         # True if the words so far are {name} and one of the arguments, or {name} alone without any.\n\
         function {function}\n    \
             set -l words (commandline -opc)\n    \
             {is_ours}if set -q argv[1]\n        \
                 contains -- \"$words[{next}]\" $argv\n    \
             else\n        \
                 test (count $words) -eq {at}\n    \
             end\n\
         end\n\n",
        name = program.name,
        is_ours =
            names.get(1).map_or(String::new(), |second| format!("test \"$words[2]\" = {second}; or return 1\n    ")),
        next = at + 1,
    );
    for command in program.commands {
        let summary = quoted(command.summary);
        let _ = writeln!(text, "complete -c {called} -n {function} -f -a {} -d {summary}", command.name);
        let here = format!("complete -c {called} -n '{function} {}'", command.name);
        for flag in command.flags {
            let short = flag.short.map_or(String::new(), |letter| format!(" -s {letter}"));
            let value = if flag.value.is_some() { offer(values(flag), " -r -F", " -x") } else { String::new() };
            let _ = writeln!(text, "{here} -l {}{short}{value} -d {}", flag.long, quoted(&flag.description()));
        }
        let _ = writeln!(text, "{here}{}", offer(arguments(program, command.argument), " -F", " -f"));
    }
    text
}

/// Returns the options that offer these words, after `files` for paths or `words` for others.
fn offer(candidates: Candidates<'_>, files: &str, words: &str) -> String {
    match candidates {
        Candidates::Files([]) => files.to_owned(),
        Candidates::Files(known) => format!("{files} -a {}", quoted(&known.join(" "))),
        Candidates::Words(known) if known.is_empty() => words.to_owned(),
        Candidates::Words(known) => format!("{words} -a {}", quoted(&known.join(" "))),
    }
}

/// Returns `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
