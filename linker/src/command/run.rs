//! `cargo husk run`, `test` and `bench`: cargo builds and starts, the tender is its runner.

use crate::arguments::Run;
use crate::cargo::{self, Call};
use crate::error::{Error, Result};
use crate::forward::Divided;
use crate::guest::Guest;
use crate::project::Project;
use crate::settings::Kind;
use crate::tender;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// Variables that a guest gets without a flag: they control how much a program prints.
const PASSED_ON: [&str; 3] = ["RUST_BACKTRACE", "RUST_LOG", "RUST_TEST_THREADS"];

/// Replaces this process by `cargo run`, `test` or `bench`; its exit status is the guest's.
pub fn run(subcommand: &str, run: &Run, divided: &Divided) -> Result<ExitCode> {
    let options = options(&run.guest)?;
    let mut project = Project::select(&run.cargo, &divided.cargo)?;
    if run.guest.mounts() {
        project.link_volumes();
    }
    let kind = kind(subcommand, &project)?;
    let mut call = Call::new(subcommand, kind, &project, &run.cargo, &divided.cargo)?;
    call.run_by(&tender::find(&[])?, options)?;
    if !divided.rest.is_empty() {
        call.command.arg("--").args(&divided.rest);
    }
    let error = call.command.exec();
    Err(Error::start(call.command.get_program().as_ref(), error))
}

/// Returns the single kind of program that is to run.
fn kind(subcommand: &str, project: &Project) -> Result<Kind> {
    let members: Vec<_> = match subcommand {
        // Packages without a program do not run.
        "run" => project.members.iter().filter(|member| member.has_programs).cloned().collect(),
        _ => project.members.clone(),
    };
    match (subcommand, &cargo::kinds(&members)[..]) {
        ("test" | "bench", kinds) if kinds.contains(&Kind::Native) => Err(Error::new(format!(
            "a native program ('std = false') cannot be {}, for the harness needs std: put its logic into a library \
             package and choose that with -p",
            if subcommand == "test" { "tested" } else { "benched" }
        ))),
        // cargo has the best message if there is nothing to run.
        (_, []) => Ok(Kind::Std),
        (_, [kind]) => Ok(*kind),
        _ => Err(Error::new("std and native programs cannot run together: choose a package with -p")),
    }
}

/// Returns the words of `husk` that come before the image, the last being `--`.
fn options(guest: &Guest) -> Result<Vec<String>> {
    let mut words = vec!["run".to_owned()];
    // Flags of the command line come later, so that they take precedence.
    words.extend(PASSED_ON.iter().filter_map(|name| Some(format!("--env={name}={}", env::var(name).ok()?))));
    words.extend(guest.words()?);
    // cargo adds the image and the program's arguments: all of them are its own.
    words.push("--".to_owned());
    Ok(words)
}
