//! `cargo husk`, so far the linker that rustc calls while cargo builds.

mod error;
mod link;
mod patch;
mod settings;
mod size;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    match link::run(env::args_os().skip(1).collect()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
