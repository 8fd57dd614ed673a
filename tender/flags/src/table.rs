//! The types of the tables: flags, commands, programs.

/// A flag of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// `--long`.
    pub long: &'a str,
    /// `-s`.
    pub short: Option<char>,
    /// Placeholder of the value, if the flag takes one: words in lower case are values, FILE, PATH and FOLDER are paths.
    pub value: Option<&'a str>,
    /// Value without the flag; empty if there is none, or none worth a word.
    pub default: &'a str,
    /// True if the flag may be repeated.
    pub repeats: bool,
    /// Description in one line.
    pub help: &'a str,
}

impl<'a> Flag<'a> {
    /// Returns a switch.
    pub const fn new(long: &'a str, help: &'a str) -> Self {
        Self { long, short: None, value: None, default: "", repeats: false, help }
    }

    /// Adds a letter.
    pub const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// Adds a value with this placeholder.
    pub const fn takes(self, value: &'a str) -> Self {
        Self { value: Some(value), ..self }
    }

    /// Adds the value that the flag has by default.
    pub const fn default(self, default: &'a str) -> Self {
        Self { default, ..self }
    }

    /// Allows to repeat the flag.
    pub const fn repeats(self) -> Self {
        Self { repeats: true, ..self }
    }

    /// Spellings on the command line: `--long`, then `-s`.
    pub fn spellings(&self) -> impl Iterator<Item = String> {
        [Some(format!("--{}", self.long)), self.short.map(|letter| format!("-{letter}"))].into_iter().flatten()
    }

    /// Returns true if the flag is called `name`, without dashes.
    pub fn is_called(&self, name: &str) -> bool {
        self.long == name || self.short.is_some_and(|letter| name.chars().eq([letter]))
    }

    /// Returns the description, default and repetition included.
    pub fn description(&self) -> String {
        let default = if self.default.is_empty() { [""; 2] } else { ["; default: ", self.default] };
        let repeats = if self.repeats { "; may be repeated" } else { "" };
        [self.help, default[0], default[1], repeats].concat()
    }
}

/// Argument of a command that is no flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    /// Nothing, or text.
    Text,
    /// A path.
    File,
    /// One of these words, or a path.
    WordsOrFile(&'a [&'a str]),
    /// One of these words.
    Words(&'a [&'a str]),
    /// A command or a flag, with its dashes or without.
    Topic,
}

/// Paragraph about some flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Title.
    pub title: &'a str,
    /// Text, in lines; words to be typed stand between backticks.
    pub text: &'a str,
    /// Names of the flags that it explains.
    pub flags: &'a [&'a str],
}

/// A command of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Name.
    pub name: &'a str,
    /// Usage, with the program's name.
    pub usage: &'a str,
    /// Description in one line, without a full stop.
    pub summary: &'a str,
    /// Description.
    pub about: &'a str,
    /// Flags.
    pub flags: &'a [Flag<'a>],
    /// Arguments that are no flags.
    pub argument: Argument<'a>,
    /// Paragraphs after the flags.
    pub sections: &'a [Section<'a>],
}

impl<'a> Command<'a> {
    /// Command without anything.
    pub const EMPTY: Self =
        Self { name: "", usage: "", summary: "", about: "", flags: &[], argument: Argument::Text, sections: &[] };

    /// Paragraphs that explain this flag.
    pub fn sections_about(&self, flag: &Flag<'_>) -> impl Iterator<Item = &'a Section<'a>> {
        self.sections.iter().filter(move |section| section.flags.contains(&flag.long))
    }
}

/// A program with commands.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Words that call it.
    pub name: &'a str,
    /// Description in one sentence.
    pub about: &'a str,
    /// Commands.
    pub commands: &'a [&'a Command<'a>],
    /// Variables of the environment that it reads, and their meaning.
    pub environment: &'a [(&'a str, &'a str)],
    /// Other manual pages.
    pub see_also: &'a str,
}

/// Identifiers of the flags of one command, in the order of its table.
pub trait Flags: Copy + 'static {
    /// The command.
    const COMMAND: &'static Command<'static>;
    /// One for each flag.
    const ALL: &'static [Self];

    /// Finds a flag by its name or letter.
    fn find(is_it: impl Fn(&Flag<'_>) -> bool) -> Option<(Self, &'static Flag<'static>)> {
        Self::ALL.iter().copied().zip(Self::COMMAND.flags).find(|(_, flag)| is_it(flag))
    }
}

/// Declares the flags of a command: an enum with a variant for each, and the table `FLAGS`. The comment above a flag is its help.
macro_rules! flags {
    ($(#[doc = $what:literal])* pub enum $id:ident { $(#[doc = $help:literal] $variant:ident = $long:literal $(. $set:ident ($($value:expr)?))*,)* }) => {
        $(#[doc = $what])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $id { $(#[doc = $help] $variant,)* }

        static FLAGS: &[$crate::Flag<'static>] =
            &[$($crate::Flag::new($long, $help.split_at(1).1)$(.$set($($value)?))*,)*];

        impl $crate::Flags for $id {
            const COMMAND: &'static $crate::Command<'static> = &COMMAND;
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}
