//! The command line that rustc gives its linker, taken apart.
//!
//! For `x86_64-unknown-linux-musl` rustc speaks to a C compiler, for `x86_64-unknown-none` to `rust-lld` itself. Either
//! way the words become a list of [`Word`]s: what the link editor would see, and what only a compiler driver knows. Words
//! that an image cannot do with are left out: symbols are stripped after the sites are patched, not before, and the
//! libos understands no packed relocations.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Recipient of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// A C compiler as linker driver.
    Compiler,
    /// `rust-lld -flavor gnu`.
    Lld,
}

/// Parts to remove from the finished image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strip {
    /// No part.
    #[default]
    Nothing,
    /// Debug information.
    Debug,
    /// Debug information and symbols.
    All,
}

/// Word of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A word of the link editor.
    Editor(OsString),
    /// A word that a compiler driver interprets, or passes on as it is: files, `-L`, `-l`, `-o`.
    Driver(OsString),
}

/// A linker's command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Recipient of the command line.
    pub flavor: Flavor,
    /// Words, less `-o` and those that are left out.
    pub words: Vec<Word>,
    /// File that the linker makes.
    pub output: PathBuf,
    /// Parts that the command line asks to strip.
    pub strip: Strip,
    /// True if the linker makes a program, rather than a library or another object.
    pub makes_program: bool,
}

/// Values of `-z` that are left out.
const DROPPED_Z: [&str; 1] = ["pack-relative-relocs"];

impl Line {
    /// Takes apart `arguments`: all words after the program's name, response files already read.
    pub fn parse(arguments: &[OsString]) -> Self {
        let (flavor, arguments) = match arguments {
            [flavor, _, rest @ ..] if flavor == "-flavor" => (Flavor::Lld, rest),
            all => (Flavor::Compiler, all),
        };
        let words = match flavor {
            Flavor::Lld => arguments.iter().cloned().map(Word::Editor).collect(),
            Flavor::Compiler => driver_words(arguments),
        };
        let mut line =
            Self { flavor, words: Vec::new(), output: "a.out".into(), strip: Strip::Nothing, makes_program: true };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            line.take(word, &mut words);
        }
        line
    }

    /// Returns the words as a compiler driver takes them, less `-o`.
    pub fn for_compiler(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        for word in &self.words {
            match word {
                Word::Driver(text) => arguments.push(text.clone()),
                Word::Editor(text) => arguments.extend([OsString::from("-Xlinker"), text.clone()]),
            }
        }
        arguments
    }

    /// Takes a word, and those that belong to it.
    fn take(&mut self, word: Word, following: &mut impl Iterator<Item = Word>) {
        match word.text().to_str() {
            Some("-o") => self.output = following.next().map(|word| word.text().into()).unwrap_or_default(),
            Some("-s" | "--strip-all") => self.strip = Strip::All,
            Some("-S" | "--strip-debug") => self.strip = self.strip.max(Strip::Debug),
            // Local symbols show the patcher where functions begin and end.
            Some("-x" | "--discard-all") => {}
            Some(relocations) if relocations.starts_with("--pack-dyn-relocs") => {}
            Some("-z") => match following.next() {
                Some(value) if DROPPED_Z.iter().any(|dropped| value.text() == *dropped) => {}
                value => self.words.extend([Some(word), value].into_iter().flatten()),
            },
            Some("-shared" | "--shared" | "-r" | "--relocatable" | "-c" | "--version" | "-v") => {
                self.makes_program = false;
                self.words.push(word);
            }
            _ => self.words.push(word),
        }
    }
}

impl Word {
    /// The word itself.
    pub fn text(&self) -> &OsStr {
        match self {
            Self::Editor(text) | Self::Driver(text) => text,
        }
    }
}

/// Splits a compiler driver's words: `-Wl,a,b` and `-Xlinker a` carry words for the link editor.
fn driver_words(arguments: &[OsString]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-Xlinker") => words.extend(arguments.next().cloned().map(Word::Editor)),
            Some(text) if text.starts_with("-Wl,") => {
                words.extend(text.split(',').skip(1).map(|word| Word::Editor(word.into())));
            }
            _ => words.push(Word::Driver(argument.clone())),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str]) -> Line {
        Line::parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn editor(word: &str) -> Word {
        Word::Editor(word.into())
    }

    #[test]
    fn a_compiler_line_is_split_into_words() {
        let line =
            line(&["-m64", "crt1.o", "-Wl,-z,relro,-z,now", "-Xlinker", "--icf=all", "-o", "out", "-static-pie"]);
        assert_eq!(line.flavor, Flavor::Compiler);
        assert_eq!(line.output, PathBuf::from("out"));
        assert!(line.makes_program);
        let driver = |word: &str| Word::Driver(word.into());
        let editors = ["-z", "relro", "-z", "now", "--icf=all"].map(editor);
        let expected = [&[driver("-m64"), driver("crt1.o")], &editors[..], &[driver("-static-pie")]].concat();
        assert_eq!(line.words, expected);
    }

    #[test]
    fn stripping_is_put_off() {
        assert_eq!(line(&["-Wl,--strip-debug", "x.o"]).strip, Strip::Debug);
        assert_eq!(line(&["-Wl,--strip-all,--strip-debug"]).strip, Strip::All);
        assert_eq!(line(&["-s"]).strip, Strip::All);
        assert_eq!(line(&["-flavor", "gnu", "--strip-debug"]).words, []);
    }

    #[test]
    fn packed_relocations_are_left_out_however_they_are_asked_for() {
        assert_eq!(line(&["-Wl,-z,pack-relative-relocs"]).words, []);
        assert_eq!(line(&["-Wl,-z", "-Wl,pack-relative-relocs"]).words, []);
        assert_eq!(
            line(&["-flavor", "gnu", "-z", "pack-relative-relocs", "-z", "now"]).words,
            ["-z", "now"].map(editor)
        );
        assert_eq!(line(&["-Wl,--pack-dyn-relocs=relr"]).words, []);
    }

    #[test]
    fn a_library_is_not_a_program() {
        assert!(!line(&["-shared", "-o", "lib.so"]).makes_program);
        assert!(!line(&["-flavor", "gnu", "-r"]).makes_program);
    }
}
