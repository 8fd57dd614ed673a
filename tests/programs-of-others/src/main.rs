//! Runs published servers and tools as processes of Linux, in VMs and as processes of Husk, and compares what they answer.
//!
//!     cargo run -p programs-of-others                   what has no result yet, then the table in docs/programs.md
//!     cargo run -p programs-of-others -- dufs ripgrep   these two again
//!     cargo run -p programs-of-others -- --build        installs all, and runs none
//!
//! Programs, their versions, what is asked of them and known differences are in programs.toml. Both sides are the same code
//! for the same target: `cargo install --target x86_64-unknown-linux-musl` and `cargo husk install`, optimised little,
//! so that all of them take hours and not a day. Everything lies in target/programs-of-others.

mod bounded;
mod install;
mod list;
mod place;
mod serve;
mod side;
mod table;
mod trial;

use clap::Parser;
use husk_tests::build;
use side::Side;
use std::path::PathBuf;
use std::process::ExitCode;
use trial::Trial;

/// Runs published programs natively and by Husk, and compares.
#[derive(Debug, Parser)]
struct Arguments {
    /// Programs of the list to run again; without any, all that have no result yet
    programs: Vec<String>,
    /// Install these programs, and run none
    #[arg(long)]
    build: bool,
    /// Write the table from the results there are, and run nothing
    #[arg(long)]
    table: bool,
}

/// Result with an error message for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

/// Returns the folder of builds, results and logs.
fn folder() -> PathBuf {
    build::target_directory().join("programs-of-others")
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what `arguments` ask for. Returns true if every difference has a reason in the list.
fn run(arguments: &Arguments) -> Result<bool> {
    let list = list::read()?;
    if let Some(word) = arguments.programs.iter().find(|word| !list.iter().any(|program| program.name == **word)) {
        return Err(format!("'{word}' is not in programs.toml: add it there"));
    }
    let is_chosen = |program: &&list::Program| match arguments.programs.is_empty() {
        true => arguments.build || table::result(program).is_none(),
        false => arguments.programs.contains(&program.name),
    };
    let todo: Vec<_> = list.iter().filter(is_chosen).filter(|_| !arguments.table).collect();
    let mut is_explained = true;
    for (at, program) in todo.iter().enumerate() {
        println!("[{}/{}] {} {}", at + 1, todo.len(), program.name, program.version);
        if arguments.build {
            if let Err(error) = Side::BUILDS.iter().try_for_each(|side| install::provide(program, *side).map(drop)) {
                println!("    {error}");
                is_explained = false;
            }
            continue;
        }
        match Trial::of(program) {
            Ok(trial) => {
                trial.print();
                is_explained &= trial.is_explained();
                table::keep(program, &trial)?;
            }
            Err(error) => {
                println!("    {error}");
                is_explained = false;
            }
        }
    }
    if !arguments.build {
        table::write(&list)?;
    }
    Ok(is_explained)
}
