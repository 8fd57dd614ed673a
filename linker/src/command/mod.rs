//! The subcommands of `cargo husk`.

mod alias;
mod build;
mod check;
mod disk;
mod help;
mod install;
mod new;
mod run;

use crate::arguments::{Cc, Command, Completions, Disk, Husk};
use crate::c;
use crate::error::{Error, Result};
use crate::forward::Divided;
use crate::reference::program;
use clap::{CommandFactory, Parser};
use husk_flags::{completions, man};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the subcommand that the words after `cargo husk` name.
pub fn run(mut words: Vec<OsString>) -> Result<ExitCode> {
    let mut command = Husk::command();
    command.build();
    let mut divided = Divided::default();
    words = alias::follow(&command, words)?;
    if let Some(subcommand) = words.first().and_then(|name| command.find_subcommand(name))
        && !["cc", "disk", "new", "completions", "man", "help"].contains(&subcommand.get_name())
    {
        let separator = words.iter().position(|word| word == "--").unwrap_or(words.len());
        // The program's arguments may be any bytes.
        let rest = words.split_off(separator).into_iter().skip(1).collect();
        let ours = words.drain(1..).map(text).collect::<Result<Vec<_>>>()?;
        divided = Divided::between(subcommand, ours, rest);
        words.extend(divided.known.drain(..).map(OsString::from));
    }
    words.insert(0, "cargo husk".into());
    match Husk::parse_from(words).command {
        Command::Build(build) => build::run(&build, &divided),
        Command::Run(run) => run::run("run", &run, &divided),
        Command::Test(test) => run::run("test", &test, &divided),
        Command::Bench(bench) => run::run("bench", &bench, &divided),
        Command::Check(check) => check::run("check", &check, &divided),
        Command::Clippy(clippy) => check::run("clippy", &clippy, &divided),
        Command::Install(install) => install::run("install", &install, &divided),
        Command::Uninstall(install) => install::run("uninstall", &install, &divided),
        Command::Cc(Cc { words }) => c::run(words),
        Command::Disk(Disk { words }) => disk::run(&words),
        Command::New(new) => new::run(&new),
        Command::Completions(Completions { shell }) => {
            help::print(completions::script(&program(&command), &shell).unwrap_or_default())
        }
        Command::Man => help::print(man::page(&program(&command), env!("CARGO_PKG_VERSION"))),
        Command::Help(topic) => help::run(command, &topic),
    }
}

/// A word that is for this tool or for cargo.
fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|word| Error::new(format!("the option '{}' is not UTF-8", word.display())))
}
