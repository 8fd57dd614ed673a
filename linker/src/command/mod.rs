//! The subcommands of `cargo husk`.

mod build;
mod new;
mod run;

use crate::arguments::{Command, Husk};
use crate::error::Result;
use crate::forward::Divided;
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Does what the words after `cargo husk` say.
pub fn run(words: Vec<String>) -> Result<ExitCode> {
    let mut command = Husk::command();
    command.build();
    let mut divided = Divided::default();
    let mut known = vec!["cargo husk".to_owned()];
    let mut words = words.into_iter();
    known.extend(words.next());
    match known.get(1).and_then(|name| command.find_subcommand(name)) {
        Some(subcommand) if subcommand.get_name() != "new" => {
            divided = Divided::between(subcommand, words);
            known.append(&mut divided.known);
        }
        _ => known.extend(words),
    }
    match Husk::parse_from(known).command {
        Command::Build(build) => build::run(&build, &divided),
        Command::Run(run) => run::run("run", &run, &divided),
        Command::Test(test) => run::run("test", &test, &divided),
        Command::New(new) => new::run(&new),
    }
}
