//! `cargo husk`: builds ordinary cargo projects as images.
//!
//! One executable in several roles: the tool that a person calls, and while that tool has cargo build and run, the linker
//! that rustc calls, the runner that cargo calls and the C compiler that build scripts call. The environment and the names
//! of the call say which.

mod arguments;
mod c;
mod cargo;
mod command;
mod config;
mod error;
mod forward;
mod guest;
mod link;
mod metadata;
mod mounts;
mod profile;
mod project;
mod reference;
mod runner;
mod settings;
mod tender;
mod toolchain;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let own_name = arguments.drain(..1.min(arguments.len())).next().unwrap_or_default();
    // cargo puts the name of its subcommand first; a linker's first word never looks like that.
    let by_cargo = arguments.first().is_some_and(|first| first == "husk");
    let outcome = if Path::new(&own_name).file_name().is_some_and(|name| name == c::NAME) {
        c::run(arguments)
    } else if arguments.first().is_some_and(|first| first == runner::NAME) {
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
