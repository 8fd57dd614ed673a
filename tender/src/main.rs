//! `husk`: runs images. Reads the command line, does what it says, turns errors into one line and a status.

mod cli;

use clap::Parser;
use cli::{Cli, Command};
use husk_abi::fault::TENDER_ERROR;
use husk_tender::Error;
use husk_tender::boot::Program;
use husk_tender::inspect::Inspection;
use husk_tender::run::{self, Options};
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    let result = match Cli::parse().command {
        Command::Run(run) => run::run(&options(run, started)),
        Command::Inspect(inspect) => show(&inspect),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        eprintln!("husk: {error}");
        TENDER_ERROR
    }))
}

fn show(inspect: &cli::Inspect) -> Result<u8, Error> {
    let inspection = Inspection::of(&inspect.image, None)?;
    let mut output = std::io::stdout().lock();
    let written = match inspect.json {
        true => writeln!(output, "{}", inspection.json()),
        false => write!(output, "{}", inspection.with_colour(output.is_terminal())),
    };
    written.map(|()| 0).map_err(Error::Output)
}

fn options(run: cli::Run, started: Instant) -> Options {
    let mut arguments = vec![run.image.clone().into_os_string()];
    arguments.extend(run.arguments);
    let environment = run.env.into_iter().filter_map(assignment).collect();
    Options {
        image: run.image,
        memory: run.memory,
        program: Program { arguments, environment },
        randomize: !run.no_aslr,
        verbose: run.verbose,
        started,
    }
}

/// `NAME=VALUE` as it is, `NAME` with its value here; nothing if it has none.
fn assignment(given: OsString) -> Option<OsString> {
    if given.as_bytes().contains(&b'=') {
        return Some(given);
    }
    let value = std::env::var_os(&given)?;
    let mut assignment = given;
    assignment.push("=");
    assignment.push(value);
    Some(assignment)
}
