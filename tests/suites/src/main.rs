//! Runs the test suites of other people's crates as processes of Linux and in VMs, and writes down both counts.
//!
//!     cargo run -p suites                   what has no result yet, then the table in RESULTS.md
//!     cargo run -p suites -- slab mio       these two again, in VMs; natively only if there is no result
//!     cargo run -p suites -- some@1.2.3     a crate that is not in the list: yours
//!
//! Crates, their versions and known differences are in crates.toml. Sources come from the registry by
//! cargo's own means. Both sides are the same code for the same target: `cargo test --target x86_64-unknown-linux-musl`
//! and `cargo husk test`. Everything lies in target/suites; the logs there are the results.

mod bounded;
mod compare;
mod libtest;
mod list;
mod log;
mod side;
mod source;
mod table;

use clap::Parser;
use compare::Comparison;
use list::Crate;
use side::Side;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs test suites of published crates natively and in VMs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Crates of the list to run again, or any as name@version; without any, all that have no result yet
    crates: Vec<String>,
    /// Run the native side of these crates again, too
    #[arg(long)]
    native: bool,
    /// Write the table from the results there are, and run nothing
    #[arg(long)]
    table: bool,
}

/// Result with an error message for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

/// Returns the folder of sources, builds and logs.
fn folder() -> PathBuf {
    husk_tests::build::target_directory().join("suites")
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

/// Runs what `arguments` ask for. Returns true if every difference has an explanation.
fn run(arguments: &Arguments) -> Result<bool> {
    let list = list::read()?;
    let mut chosen = Vec::new();
    for word in &arguments.crates {
        let known = list.iter().find(|one| one.name == *word).cloned();
        let other = || word.split_once('@').map(|(name, version)| Crate::new(name, version));
        chosen.push(known.or_else(other).ok_or_else(|| format!("'{word}' is not in the list: write {word}@VERSION"))?);
    }
    let todo = if arguments.crates.is_empty() { &list } else { &chosen };
    for (at, one) in todo.iter().enumerate().filter(|_| !arguments.table) {
        println!("[{}/{}] {} {}", at + 1, todo.len(), one.name, one.version);
        for side in Side::BOTH {
            let again = !chosen.is_empty() && (side == Side::Guest || arguments.native);
            if let Err(error) = side.run(one, again) {
                println!("    {side}: {error}");
            }
        }
        if let Some(comparison) = compare(one) {
            comparison.print();
        }
    }
    let comparisons: Vec<_> = list.iter().filter_map(compare).collect();
    table::write(&list, &comparisons)?;
    Ok(todo.iter().filter_map(compare).all(|comparison| comparison.is_explained()))
}

/// Compares both sides of `one` if both have results.
fn compare(one: &Crate) -> Option<Comparison> {
    Some(Comparison::of(one, log::read(one, Side::Native)?, log::read(one, Side::Guest)?))
}
