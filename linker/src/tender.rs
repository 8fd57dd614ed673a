//! Finding the tender, the program `husk` that runs images.
//!
//! `$HUSK` names it. A tool that runs from a checkout of Husk builds the checkout's; an installed one looks beside
//! itself, then in the path.

use crate::error::{Error, Result};
use crate::toolchain;
use cargo_metadata::Message;
use std::env;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The executable.
const NAME: &str = "husk";
/// The target it is built for: one static file.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// Work that takes longer than this is announced.
const PATIENCE: Duration = Duration::from_secs(1);

/// The path of the tender.
pub fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os("HUSK").map(PathBuf::from) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::new(format!(
                "HUSK is '{}', and there is no such file: set it to the program 'husk'",
                path.display()
            )))
        };
    }
    let executable = env::current_exe().unwrap_or_default();
    if let Some(root) = checkout(&executable) {
        return build(&root);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let beside = executable.with_file_name(NAME);
    std::iter::once(beside)
        .chain(env::split_paths(&folders).map(|folder| folder.join(NAME)))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::new(format!(
                "the tender 'husk', which runs images, is not installed: put it in the PATH, or set HUSK to it; from a \
                 checkout of Husk: cargo install --path tender --target {TARGET}"
            ))
        })
}

/// The checkout that this tool was built in, if it still runs from there.
fn checkout(executable: &Path) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    (root.join("tender/Cargo.toml").is_file() && executable.starts_with(target)).then(|| root.to_owned())
}

/// Builds the tender of the checkout at `root`, which is quick if it is up to date.
fn build(root: &Path) -> Result<PathBuf> {
    let mut command = Command::new(toolchain::cargo());
    command.args(["build", "--quiet", "--release", "--package", "husk-tender", "--bin", NAME, "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics", "--manifest-path"]).arg(root.join("Cargo.toml"));
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    let output = patiently("Building husk, the tender", command)?;
    let messages = Message::parse_stream(&output.stdout[..]).filter_map(|message| message.ok());
    let executable = messages.filter_map(|message| match message {
        Message::CompilerArtifact(artifact) => artifact.executable,
        _ => None,
    });
    match executable.last() {
        Some(path) if output.status.success() => Ok(path.into()),
        _ => Err(Error::new(format!("the tender in '{}' does not build", root.display()))),
    }
}

/// Runs `command`; says what it does if that takes long and somebody watches.
fn patiently(what: &str, mut command: Command) -> Result<Output> {
    let (sender, receiver) = mpsc::channel();
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let program = PathBuf::from(command.get_program());
    thread::spawn(move || sender.send(command.output()));
    let outcome = receiver.recv_timeout(PATIENCE).or_else(|_| {
        if std::io::stderr().is_terminal() {
            eprintln!("    {what}");
        }
        receiver.recv()
    });
    outcome.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| Error::start(&program, error))
}
