//! `cargo husk`: builds ordinary cargo projects as images.
//!
//! One executable in three roles: the tool that a person calls, and while that tool has cargo build and run, the linker
//! that rustc calls and the runner that cargo calls. The environment says which.

mod arguments;
mod cargo;
mod command;
mod config;
mod error;
mod forward;
mod guest;
mod link;
mod patch;
mod profile;
mod project;
mod reference;
mod runner;
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
    let outcome = if arguments.first().is_some_and(|first| first == runner::NAME) {
        runner::run(arguments.split_off(1))
    } else if link::is_called() && !by_cargo {
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
