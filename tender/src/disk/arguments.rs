//! The command line of `husk disk`, whose flags are declared in [`husk_flags::disk`].

use crate::create::Create;
use husk_abi::size;
use husk_flags::disk::{self, Disk as Flag};
use husk_flags::{Flags, help};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Request of the user.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Make a disk.
    Create(Create),
    /// Print this text.
    Print(String),
}

/// Parses the command line, whose first word is the name of the program. An error is a line.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_iter(words);
    let mut create = Create::default();
    let mut values = vec![];
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let flag = match argument {
            Arg::Value(word) => {
                values.push(word);
                continue;
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&disk::COMMAND))),
            Arg::Short(letter) => Err(format!("-{letter}")),
            Arg::Long(name) => Flag::find(|known| known.long == name).ok_or_else(|| format!("--{name}")),
        };
        let (flag, _) = flag.map_err(|flag| format!("husk disk has no flag {flag}; see `husk disk --help`"))?;
        let value = parser.value().map_err(|error| error.to_string())?;
        match flag {
            Flag::From => create.from = Some(value.into()),
            Flag::Label => create.label = value.into_vec(),
        }
    }
    let usage = disk::COMMAND.usage;
    let mut values = values.into_iter();
    match values.next() {
        Some(word) if word == "create" => {}
        Some(word) => return Err(format!("no such command: {}; `{usage}`", word.display())),
        None => return Err(format!("what about a disk? `{usage}`")),
    }
    let (Some(file), Some(size), None) = (values.next(), values.next(), values.next()) else {
        return Err(format!("which file, and of which size? `{usage}`"));
    };
    create.file = file.into();
    create.size = size::parse(&size.to_string_lossy()).map_err(|error| format!("{}: {error}", size.display()))?;
    Ok(Command::Create(create))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn flags_and_arguments_come_in_any_order() {
        let expected = Create { file: "d".into(), size: 64 << 20, from: Some("tree".into()), label: b"data".to_vec() };
        for line in ["create d 64M --from tree --label data", "--label=data create d --from=tree 64M"] {
            assert_eq!(parsed(&format!("husk-disk {line}")), Ok(Command::Create(expected_again(&expected))));
        }
    }

    fn expected_again(create: &Create) -> Create {
        Create { file: create.file.clone(), from: create.from.clone(), label: create.label.clone(), ..*create }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            ("husk-disk", "what about a disk?"),
            ("husk-disk make d 64M", "no such command: make"),
            ("husk-disk create d", "which file, and of which size?"),
            ("husk-disk create d 64M more", "which file, and of which size?"),
            ("husk-disk create d large", "large: it is not a size; write a number first"),
            ("husk-disk create d 64M --size 3", "husk disk has no flag --size"),
            ("husk-disk create d 64M -f", "husk disk has no flag -f"),
            ("husk-disk create d 64M --from", "from"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(expected), "{error}");
        }
        assert!(matches!(parsed("husk-disk create --help"), Ok(Command::Print(help)) if help.contains("--label NAME")));
    }
}
