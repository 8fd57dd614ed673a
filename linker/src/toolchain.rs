//! The Rust toolchain in use: which cargo and rustc, and whether rustc can build for a target.

use crate::error::{Error, Result};
use crate::settings::Kind;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cargo that called us, or the one in the path.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The rustc that this cargo will call, unless a configuration file names another.
fn rustc() -> PathBuf {
    if let Some(rustc) = env::var_os("RUSTC") {
        return rustc.into();
    }
    let beside = Path::new(&cargo()).with_file_name("rustc");
    if beside.is_absolute() && beside.is_file() { beside } else { "rustc".into() }
}

/// Makes sure that programs of `kind` can be compiled: installs the target's standard library if it is missing.
pub fn provide(kind: Kind) -> Result<()> {
    let target = kind.target();
    if has_library(target)? {
        return Ok(());
    }
    eprintln!("  Installing the Rust target {target}: rustup target add {target}");
    let advice = format!("the Rust toolchain cannot build for {target}: run 'rustup target add {target}'");
    match Command::new("rustup").args(["target", "add", target]).status() {
        Ok(status) if status.success() && has_library(target)? => Ok(()),
        Ok(_) => Err(Error::new(advice)),
        Err(_) => Err(Error::new(format!(
            "{advice}; there is no rustup here: install the package of your system that has the Rust standard library \
             for {target}, or rustup from https://rustup.rs"
        ))),
    }
}

/// Whether the standard library for `target` is installed.
fn has_library(target: &str) -> Result<bool> {
    let rustc = rustc();
    let output = Command::new(&rustc).args(["--print", "target-libdir", "--target", target]).output();
    let output = output.map_err(|error| Error::start(&rustc, error))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success() && Path::new(&folder).is_dir())
}
