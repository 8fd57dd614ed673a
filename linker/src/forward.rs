//! Divides a command line between this tool and cargo.
//!
//! cargo gets every word in its original order, less the flags that are ours alone, and those that this tool puts before
//! values of its own; clap gets the words that it knows.
//! So a flag that only cargo knows needs no mention here, unless it takes a value in a word of its own.

use crate::arguments::{CARGO, OURS};
use clap::{Arg, Command};
use std::ffi::OsString;

/// A command line, divided.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Divided {
    /// For clap: flags that are declared, and their values.
    pub known: Vec<String>,
    /// For cargo, up to `--`.
    pub cargo: Vec<String>,
    /// Words after `--`.
    pub rest: Vec<OsString>,
}

impl Divided {
    /// Divides `words`, which lie between the subcommand that `command` describes (and that has been built) and `--`;
    /// `rest` follows that.
    pub fn between(command: &Command, words: impl IntoIterator<Item = String>, rest: Vec<OsString>) -> Self {
        let mut divided = Self { rest, ..Self::default() };
        let mut words = words.into_iter().flat_map(|word| separate(command, word));
        while let Some(word) = words.next() {
            let Some((flag, has_value)) = find(command, &word) else {
                divided.cargo.push(word);
                continue;
            };
            let mut group = vec![word];
            if flag.get_action().takes_values() && !has_value {
                group.extend(words.next());
            }
            if (flag.get_help_heading() == Some(CARGO) || flag.is_hide_set()) && !OURS.contains(&flag.get_id().as_str())
            {
                divided.cargo.extend(group.iter().cloned());
            }
            divided.known.extend(group);
        }
        divided
    }
}

/// Returns the flag that `word` is, and true if its value is in the same word.
fn find<'a>(command: &'a Command, word: &str) -> Option<(&'a Arg, bool)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, has_value) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
        let is_named =
            |flag: &&Arg| flag.get_long() == Some(name) || flag.get_all_aliases().unwrap_or_default().contains(&name);
        return command.get_arguments().find(is_named).map(|flag| (flag, has_value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let flag = command.get_arguments().find(|flag| flag.get_short() == Some(letter))?;
    Some((flag, letters.next().is_some()))
}

/// Separates letters that were joined: `-rvpapp` is `-r -v -papp`.
fn separate(command: &Command, word: String) -> Vec<String> {
    let mut separate = Vec::new();
    let mut word = word;
    while let Some([letter, rest @ ..]) = word.strip_prefix('-').map(str::as_bytes)
        && letter.is_ascii_alphabetic()
        && !rest.is_empty()
    {
        let (flag, rest) = word.split_at(2);
        if find(command, flag).is_some_and(|(flag, _)| flag.get_action().takes_values()) {
            break;
        }
        separate.push(flag.to_owned());
        word = format!("-{rest}");
    }
    separate.push(word);
    separate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Husk;
    use clap::CommandFactory;

    fn divide(line: &str) -> [String; 2] {
        let mut command = Husk::command();
        command.build();
        let run = command.find_subcommand("run").expect("is declared");
        let divided = Divided::between(run, line.split_whitespace().map(str::to_owned), vec![]);
        [divided.known.join(" "), divided.cargo.join(" ")]
    }

    #[test]
    fn unknown_flags_go_to_cargo_in_order() {
        let line = "--release --locked -p app --offline -v";
        assert_eq!(divide(line), ["--release -p app", line]);
    }

    #[test]
    fn flags_of_the_guest_do_not() {
        let expected = ["-e A=1 --memory=64M --no-aslr --verbose --bin x", "--bin x -v"];
        assert_eq!(divide("-e A=1 --memory=64M --no-aslr --verbose --bin x -v"), expected);
    }

    #[test]
    fn values_stay_with_their_flags() {
        let line = "-j 2 -Fa,b --color always --message-format short";
        assert_eq!(divide(line), [line, line]);
        assert_eq!(divide("--config a.b=1 -v --target-dir x"), ["--config a.b=1 --target-dir x", "-v"]);
    }

    #[test]
    fn joined_letters_are_separated() {
        assert_eq!(divide("-rqpapp name"), ["-r -papp", "-r -q -papp name"]);
    }
}
