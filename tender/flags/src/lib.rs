//! The flags of `husk`, each declared once with its help. `cargo husk run` and `test` take those of `husk run`.
//!
//! Both command lines are parsed by these tables, and their help, completions, manual pages and the book's reference are made
//! from them. A new flag is an entry here, and an arm where `husk` applies it, without which the tender does not compile.

#[macro_use]
mod table;

pub mod check;
pub mod help;
pub mod inspect;
pub mod run;

pub use table::{Command, Flag, Flags, Program, Section};

/// `husk help`.
static HELP: Command<'static> = Command {
    name: "help",
    usage: "husk help [COMMAND|FLAG]",
    summary: "Explain a command or a flag",
    about: "Explains a command or a flag.",
    ..Command::EMPTY
};

/// `husk`.
pub static HUSK: Program<'static> = Program {
    name: "husk",
    about: "husk runs Husk images: single-application virtual machines.",
    commands: &[&run::COMMAND, &inspect::COMMAND, &check::COMMAND, &HELP],
};
