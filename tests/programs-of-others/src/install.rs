//! Installation of a program for a side.

use crate::bounded::Bounded;
use crate::list::Program;
use crate::side::Side;
use crate::{Result, folder};
use husk_tests::build;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Target that programs are compiled for on both sides.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// Time limit of a build: one that takes longer has gone wrong.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// Settings of the profile `release` on both sides.
const PROFILE: [(&str, &str); 5] =
    [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0"), ("PANIC", "unwind")];

/// What images are made of, beside the programs.
const SOURCES: [&str; 3] = ["targets", "libos", "linker"];

/// Returns true if all sources in a folder are older than this.
fn is_older(folder: &Path, at: SystemTime) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().all(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => is_older(&entry.path(), at),
        _ => entry.metadata().and_then(|file| file.modified()).is_ok_and(|modified| modified < at),
    })
}

/// Returns the program's executable, or image, for this side, and installs it if it is not there.
pub fn provide(program: &Program, side: Side) -> Result<PathBuf> {
    let (name, ending) = if side == Side::Linux { ("native", "") } else { ("guest", ".husk") };
    let root = folder().join(name);
    let installed = root.join("bin").join(format!("{}{ending}", program.executable()));
    let of_version = root.join(format!("{}-{}", program.name, program.version));
    let is_recent =
        |at: SystemTime| side == Side::Linux || SOURCES.iter().all(|part| is_older(&build::workspace().join(part), at));
    if installed.exists() && of_version.metadata().and_then(|file| file.modified()).is_ok_and(is_recent) {
        return Ok(installed);
    }
    let mut command = match side {
        Side::Linux => {
            let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            command.args(["install", "--target", TARGET, "--target-dir"]).arg(folder().join("native-build"));
            command
        }
        Side::Hvt | Side::Spt => {
            let mut command = Command::new(build::cargo_husk());
            command
                .args(["husk", "install", "--target-dir"])
                .arg(folder().join("guest-build"))
                .env("HUSK", build::husk());
            command
        }
    };
    command.args(["--locked", "--force", "--root"]).arg(&root).arg(format!("{}@{}", program.name, program.version));
    if !program.default_features {
        command.arg("--no-default-features");
    }
    if !program.features.is_empty() {
        command.arg("--features").arg(program.features.join(","));
    }
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH" {
            command.env_remove(name);
        }
    }
    command.envs(PROFILE.map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value)));
    println!("    {name}: builds");
    let start = Instant::now();
    let ended = Bounded::start(&mut command, "")?.end(LIMIT);
    if !ended.status.is_some_and(|status| status.success()) || !installed.exists() {
        let log = folder().join(format!("{}.{name}.log", program.name));
        std::fs::write(&log, &ended.errors).map_err(|error| format!("{}: {error}", log.display()))?;
        return Err(format!("{name}: does not build: see {}", log.display()));
    }
    println!("    {name}: built in {} s", start.elapsed().as_secs());
    std::fs::write(&of_version, "").map_err(|error| format!("{}: {error}", of_version.display()))?;
    Ok(installed)
}
