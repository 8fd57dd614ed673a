//! The Rust toolchain in use: its cargo and rustc, and the targets that rustc can build for.

use crate::config::Config;
use crate::error::{Error, Result};
use husk_toolchain::Toolchain;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Returns the cargo that called this process, or the one in the path.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the rustc that this cargo will call.
pub fn rustc(config: &Config) -> PathBuf {
    if let Some(rustc) = env::var_os("RUSTC").map(PathBuf::from).or_else(|| config.program(&["build", "rustc"])) {
        return rustc;
    }
    let beside = Path::new(&cargo()).with_file_name("rustc");
    if beside.is_absolute() && beside.is_file() { beside } else { "rustc".into() }
}

/// Makes sure that `rustc` can compile programs for `target`: installs its standard library if that is missing.
pub fn provide(rustc: &Path, target: &str) -> Result<()> {
    let toolchain = Toolchain::of(rustc).map_err(Error::new)?;
    if !toolchain.missing(&[target]).is_empty() {
        eprintln!("  Installing the Rust target {target}");
    }
    toolchain.provide(&[target]).map_err(Error::new)
}
