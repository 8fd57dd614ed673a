//! The programs that the linker step runs, and those of them that come with rustc.
//!
//! rustc puts the folder of its own tools first in the `PATH` of its linker, so they are found by name.

use crate::error::{Error, Result};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the folder in which compilers find the toolchain's link editor under the name that they expect, `ld.lld`.
pub fn link_editors() -> Option<PathBuf> {
    find("rust-lld").map(|path| path.with_file_name("gcc-ld")).filter(|folder| folder.join("ld.lld").is_file())
}

/// Makes a call of the tool `name` of rustc, such as `rust-lld`.
pub fn bundled(name: &str) -> Result<Command> {
    let path = find(name).ok_or_else(|| {
        Error::new(format!(
            "the Rust toolchain has no '{name}': update it with 'rustup update', or install 'llvm-tools'"
        ))
    })?;
    let mut command = Command::new(&path);
    // <sysroot>/lib/rustlib/<host>/bin/<name> loads LLVM from <sysroot>/lib. Only this child may see that: other
    // programs break with it.
    if let Some(libraries) = path.ancestors().nth(4).filter(|folder| folder.ends_with("lib")) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    Ok(command)
}

/// Runs `command` to its end; an error names `purpose`.
pub fn run(mut command: Command, purpose: &str) -> Result<()> {
    let status = command.status().map_err(|error| Error::start(Path::new(command.get_program()), error))?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("{purpose} failed ({status}): {command:?}"))) }
}

/// Finds a program in the `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let folders: OsString = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}
