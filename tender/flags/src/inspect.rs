//! `husk inspect`.

use crate::{Argument, Command};

flags! {
    /// A flag of `husk inspect`.
    pub enum Inspect {
        /// Print one line of JSON instead of a table
        Json = "json",
    }
}

/// `husk inspect`.
pub static COMMAND: Command<'static> = Command {
    name: "inspect",
    usage: "husk inspect [FLAGS] IMAGE",
    summary: "Show what an image is",
    about: "Shows what an image is, without running it: manifest, segments, sizes, system call sites.",
    flags: FLAGS,
    argument: Argument::File,
    sections: &[],
};
