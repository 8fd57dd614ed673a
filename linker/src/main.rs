//! `cargo husk`: builds ordinary cargo projects as images.
//!
//! One executable in two roles: the tool that a person calls, and the linker that rustc calls while that tool has cargo
//! build. The environment says which.

mod arguments;
mod cargo;
mod command;
mod error;
mod forward;
mod guest;
mod link;
mod patch;
mod profile;
mod project;
mod reference;
mod settings;
mod tender;
mod toolchain;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    // cargo puts the name of its subcommand first; a linker's first word never looks like that.
    let by_cargo = arguments.first().is_some_and(|first| first == "husk");
    let outcome = if link::is_called() && !by_cargo {
        link::run(arguments)
    } else {
        arguments.drain(..usize::from(by_cargo));
        command::run(arguments)
    };
    match outcome {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
