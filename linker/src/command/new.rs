//! `cargo husk new`: a new project. An ordinary program needs nothing but cargo's own template.

use crate::arguments::New;
use crate::error::{Error, Result};
use crate::toolchain;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Path of the crate `husk`, beside the folder that this tool was built from.
const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../libos/api");

/// The program that a native project starts with.
const NATIVE_MAIN: &str = r#"#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("Hello from a Husk guest");
}
"#;

/// Makes the project that `new` describes.
pub fn run(new: &New) -> Result<ExitCode> {
    let mut cargo = Command::new(toolchain::cargo());
    cargo.args(["new", "--bin", "--"]).arg(&new.path);
    let status = cargo.status().map_err(|error| Error::start(cargo.get_program().as_ref(), error))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    if new.no_std {
        make_native(&new.path)?;
    }
    eprintln!("     To run it: cd '{}' && cargo husk run", new.path.display());
    Ok(ExitCode::SUCCESS)
}

/// Turns a new project into a native one.
fn make_native(project: &Path) -> Result<()> {
    let manifest = project.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|error| Error::file("read", &manifest, error))?;
    let metadata = "[package.metadata.husk]\nstd = false\n\n[dependencies]\n";
    let text = format!("{}{}\n", text.replacen("[dependencies]\n", metadata, 1), dependency());
    fs::write(&manifest, text).map_err(|error| Error::file("write", &manifest, error))?;
    let main = project.join("src/main.rs");
    fs::write(&main, NATIVE_MAIN).map_err(|error| Error::file("write", &main, error))
}

/// Returns the line for the crate `husk`: this checkout's while it exists, else the release that belongs to this tool.
fn dependency() -> String {
    match Path::new(API).canonicalize() {
        Ok(path) => format!("husk = {{ path = {} }}", toml::Value::String(path.display().to_string())),
        Err(_) => format!("husk = \"{}\"", env!("CARGO_PKG_VERSION")),
    }
}
