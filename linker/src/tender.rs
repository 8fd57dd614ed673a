//! Finding the tender, the program `husk` that runs images.
//!
//! `$HUSK` names it. A tool that runs from a checkout of Husk builds the checkout's; an installed one looks beside
//! itself, then in the path.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::toolchain;
use std::env;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The executable.
const NAME: &str = "husk";
/// Target that the tender is built for: one static file.
const TARGET: &str = husk_toolchain::MUSL;
/// Profile that the tender is built with.
const PROFILE: &str = "tender";
/// Work that takes longer than this is announced.
const PATIENCE: Duration = Duration::from_secs(1);

/// Program beside the tender that makes disks.
pub const DISK: &str = "husk-disk";

/// Returns the path of the tender. A checkout builds these `others` as well, which lie beside it.
pub fn find(others: &[&str]) -> Result<PathBuf> {
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
    if let Some(checkout) = Checkout::of(&executable) {
        return checkout.build(others);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let beside = executable.with_file_name(NAME);
    std::iter::once(beside)
        .chain(env::split_paths(&folders).map(|folder| folder.join(NAME)))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::new(format!(
                "the tender 'husk', which runs images, is not installed: put it in the PATH, or set HUSK to it; from a \
                 checkout of Husk: cargo install --path tender --profile {PROFILE} --target {TARGET}"
            ))
        })
}

/// A checkout of Husk, and the folder that it is built in.
struct Checkout {
    root: &'static Path,
    target_folder: PathBuf,
}

impl Checkout {
    /// Returns the checkout that this tool was built in, if it still runs from there.
    fn of(executable: &Path) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        // Nothing is ever installed below a target folder.
        let target_folder = husk_toolchain::target_folder(executable)?.to_owned();
        root.join("tender/Cargo.toml").is_file().then_some(Self { root, target_folder })
    }

    /// Builds the checkout's tender, and these others, which is quick if they are up to date.
    fn build(&self, others: &[&str]) -> Result<PathBuf> {
        toolchain::provide(&toolchain::rustc(&Config::default()), TARGET)?;
        let mut command = Command::new(toolchain::cargo());
        command.args(["build", "--profile", PROFILE, "--package", "husk-tender", "--bin", NAME, "--target", TARGET]);
        command.args(others.iter().flat_map(|other| ["--bin", other]));
        command.arg("--target-dir").arg(&self.target_folder).current_dir(self.root);
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
        let path = self.target_folder.join(TARGET).join(PROFILE).join(NAME);
        let what = "Building husk, the tender";
        let output = if path.is_file() && others.iter().all(|other| path.with_file_name(other).is_file()) {
            patiently(what, command.arg("--quiet"))?
        } else {
            eprintln!("    {what}: half a minute, once");
            command
                .stderr(Stdio::inherit())
                .output()
                .map_err(|error| Error::start(toolchain::cargo().as_ref(), error))?
        };
        if output.status.success() {
            return Ok(path);
        }
        // cargo's output is worth reading only now.
        let reason = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(format!("the tender in '{}' does not build\n{reason}", self.root.display())))
    }
}

/// Runs `command`; announces `what` if that takes long and standard error is a terminal.
fn patiently(what: &str, command: &mut Command) -> Result<Output> {
    let program = PathBuf::from(command.get_program());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|error| Error::start(&program, error))?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let outcome = receiver.recv_timeout(PATIENCE).or_else(|_| {
        if std::io::stderr().is_terminal() {
            eprintln!("    {what}");
        }
        receiver.recv()
    });
    outcome.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| Error::start(&program, error))
}
