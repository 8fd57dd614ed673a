//! The flags of `husk`, each declared once with its help. `cargo husk run` and `test` take those of `husk run`.
//!
//! Both command lines are parsed by these tables, and their help, completions, manual pages and the book's reference are made
//! from them. A new flag is an entry here, and an arm where `husk` applies it, without which the tender does not compile.

#[macro_use]
mod table;

pub mod book;
pub mod check;
pub mod completions;
pub mod disk;
pub mod generated;
pub mod help;
pub mod inspect;
pub mod man;
pub mod run;

pub use table::{Argument, Command, Flag, Flags, Program, Section};

/// `husk completions`.
static COMPLETIONS: Command<'static> = Command {
    name: "completions",
    usage: "husk completions bash|zsh|fish",
    summary: "Print completions for a shell",
    about: "Prints a script with which a shell completes commands, flags and values. For bash: `source <(husk completions bash)`\n\
            in ~/.bashrc; for zsh: `husk completions zsh > _husk` in a folder of $fpath; for fish:\n\
            `husk completions fish > ~/.config/fish/completions/husk.fish`.",
    argument: Argument::Words(completions::SHELLS),
    ..Command::EMPTY
};

/// `husk man`.
static MAN: Command<'static> = Command {
    name: "man",
    usage: "husk man",
    summary: "Print the manual page, for `husk man | man -l -`",
    about: "Prints the manual page, for `husk man | man -l -`.",
    ..Command::EMPTY
};

/// `husk help`.
static HELP: Command<'static> = Command {
    name: "help",
    usage: "husk help [COMMAND|FLAG]",
    summary: "Explain a command or a flag",
    about: "Explains a command or a flag.",
    argument: Argument::Topic,
    ..Command::EMPTY
};

/// `husk`.
pub static HUSK: Program<'static> = Program {
    name: "husk",
    about: "husk runs Husk images: single-application virtual machines.",
    commands: &[&run::COMMAND, &inspect::COMMAND, &check::COMMAND, &disk::COMMAND, &COMPLETIONS, &MAN, &HELP],
    environment: &[("HUSK_TARGET", "Target of guests where --target names none: hvt or spt.")],
    see_also: "cargo-husk(1), passt(1)",
};
