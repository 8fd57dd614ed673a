//! Scripts with which shells complete commands, flags and values.

mod bash;
mod fish;
mod zsh;

use crate::{Argument, Flag, Program};

/// Names of the shells that have completions.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// Returns the script for a shell, one of [`SHELLS`]; `None` for another.
pub fn script(program: &Program<'_>, shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash::script(program)),
        "zsh" => Some(zsh::script(program)),
        "fish" => Some(fish::script(program)),
        _ => None,
    }
}

/// Completions of a word.
enum Candidates<'a> {
    /// Paths, and these words.
    Files(&'a [&'a str]),
    /// These words; none for text that only a person knows.
    Words(Vec<&'a str>),
}

/// Completions of the value that a flag takes.
fn values<'a>(flag: &Flag<'a>) -> Candidates<'a> {
    let value = flag.value.unwrap_or_default();
    if ["FILE", "PATH", "FOLDER"].iter().any(|path| value.contains(path)) {
        return Candidates::Files(&[]);
    }
    let is_literal = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    Candidates::Words(value.split('|').filter(is_literal).collect())
}

/// Completions of an argument.
fn arguments<'a>(program: &Program<'a>, argument: Argument<'a>) -> Candidates<'a> {
    match argument {
        Argument::Text => Candidates::Words(vec![]),
        Argument::File => Candidates::Files(&[]),
        Argument::WordsOrFile(words) => Candidates::Files(words),
        Argument::Words(words) => Candidates::Words(words.to_vec()),
        Argument::Topic => {
            let mut topics: Vec<_> = program.commands.iter().map(|command| command.name).collect();
            topics.extend(program.commands.iter().flat_map(|command| command.flags).map(|flag| flag.long));
            topics.sort_unstable();
            topics.dedup();
            Candidates::Words(topics)
        }
    }
}

/// Name of the function in a script.
fn function(program: &Program<'_>) -> String {
    format!("_{}", program.name.replace(' ', "_"))
}
