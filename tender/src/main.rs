//! `husk`: runs images. Reads the command line, does what it says, turns errors into one line and a status.

mod cli;

use cli::Command;
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

/// musl's allocator maps pages anew for every few objects: a twentieth of a start.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// How long a guest may take to end when it has been told to, unless the user says otherwise.
const GRACE_S: u64 = 10;

fn main() -> ExitCode {
    let started = Instant::now();
    let result = match cli::parse(std::env::args_os()) {
        Ok(Command::Run(run)) => run::run(&options(run, started)).map_err(|error| error.to_string()),
        Ok(Command::Inspect(inspect)) => show(&inspect).map_err(|error| error.to_string()),
        Ok(Command::Print(text)) => print(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        eprintln!("husk: {error}");
        TENDER_ERROR
    }))
}

fn show(inspect: &cli::Inspect) -> Result<u8, Error> {
    let inspection = Inspection::of(&inspect.image, None)?;
    match inspect.json {
        true => print(&format!("{}\n", inspection.json())),
        false => print(&inspection.with_colour(std::io::stdout().is_terminal()).to_string()),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    std::io::stdout().write_all(text.as_bytes()).map(|()| 0).map_err(Error::Output)
}

fn options(run: cli::Run, started: Instant) -> Options {
    Options {
        image: run.line.first().cloned().unwrap_or_default().into(),
        memory: run.memory,
        program: Program {
            arguments: run.line,
            environment: run.environment.into_iter().filter_map(assignment).collect(),
        },
        randomize: !run.fixed_base,
        grace_s: run.stop_timeout_s.unwrap_or(GRACE_S),
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
