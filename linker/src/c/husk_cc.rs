//! `husk-cc`: `cargo husk cc` under a name that makefiles and configure scripts take for a compiler.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The program that does the work.
const TOOL: &str = "cargo-husk";

fn main() -> ExitCode {
    let beside = env::current_exe().unwrap_or_default().with_file_name(TOOL);
    let tool = if beside.is_file() { beside } else { TOOL.into() };
    let error = Command::new(&tool).args(["husk", "cc"]).args(env::args_os().skip(1)).exec();
    eprintln!("error: cannot start '{}': {error}", tool.display());
    ExitCode::FAILURE
}
