//! Runs the test suites of other people's crates as processes of Linux and in VMs, and writes down both counts.
//!
//!     cargo run -p suites                   what has no result yet, then the table in RESULTS.md
//!     cargo run -p suites -- slab mio       these two again, in VMs; natively only if there is no result
//!
//! Which crates, in which version and with which known differences is in crates.toml. Sources come from the registry by
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
    /// Crates to run again; without any, all that have no result yet
    crates: Vec<String>,
    /// Run the native side of these crates again, too
    #[arg(long)]
    native: bool,
    /// Write the table from the results there are, and run nothing
    #[arg(long)]
    table: bool,
}

/// What went wrong, for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

/// Where sources, builds and logs are kept.
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

/// Runs what `arguments` ask for; whether every difference has an explanation.
fn run(arguments: &Arguments) -> Result<bool> {
    let list = list::read()?;
    if let Some(name) = arguments.crates.iter().find(|name| list.iter().all(|one| one.name != **name)) {
        return Err(format!("'{name}' is not in {}: add it with a version", list::path().display()));
    }
    let mut comparisons = Vec::new();
    for (at, one) in list.iter().enumerate() {
        let is_named = arguments.crates.contains(&one.name);
        if !arguments.table && (is_named || arguments.crates.is_empty()) {
            println!("[{}/{}] {} {}", at + 1, list.len(), one.name, one.version);
            for side in Side::BOTH {
                let again = is_named && (side == Side::Guest || arguments.native);
                if let Err(error) = side.run(one, again) {
                    println!("    {side}: {error}");
                }
            }
        }
        if let Some(comparison) = compare(one, is_named) {
            comparisons.push(comparison);
        }
    }
    table::write(&comparisons)?;
    Ok(comparisons.iter().all(Comparison::is_explained))
}

/// Compares both sides if both have results; tells of differences that nothing explains, in detail if `is_named`.
fn compare(one: &Crate, is_named: bool) -> Option<Comparison> {
    let comparison = Comparison::of(one, log::read(one, Side::Native)?, log::read(one, Side::Guest)?);
    if is_named || !comparison.is_explained() {
        comparison.print();
    }
    Some(comparison)
}
