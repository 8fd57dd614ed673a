//! Builds what the tests run: the tender, and the images of a package, each once per test process.

#![expect(unsafe_code, reason = "what is done about signals is told by a function of C")]

use crate::network::in_original;
use crate::{Running, prebuilt};
use husk_toolchain::{MUSL, TARGETS, Toolchain};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// How long a build may take; others may be under way, for which it waits.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// The workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Whether [`husk`] pretends a slow host.
static PRETENDS: AtomicBool = AtomicBool::new(false);

/// Makes [`husk`] a tender that pretends a slow host. To be called before that is.
pub fn pretend_slow_host() {
    PRETENDS.store(true, Relaxed);
}

/// The tender, built as it is shipped; but for one that pretends a slow host.
pub fn husk() -> &'static Path {
    static HUSK: OnceLock<PathBuf> = OnceLock::new();
    HUSK.get_or_init(|| {
        take_signals();
        if let Some(husk) = prebuilt::path("husk") {
            return husk;
        }
        match PRETENDS.load(Relaxed) {
            true => husk_with("slow-host", "slow-host", "tender"),
            false => husk_with("", "", "tender"),
        }
    })
}

/// The same as `cargo install` leaves it: a copy. What a linker writes piece by piece lies in the page cache in small pieces,
/// which takes each start 0.04 ms longer to map.
pub fn installed_husk() -> PathBuf {
    copied(husk())
}

/// A copy of a program, made anew.
fn copied(program: &Path) -> PathBuf {
    let folder = target_directory().join("installed");
    std::fs::create_dir_all(&folder).expect("the target directory is ours");
    let copy = folder.join(program.file_name().expect("a program has a name"));
    // A program that runs cannot be written to, but it can be replaced.
    let _ = std::fs::remove_file(&copy);
    std::fs::copy(program, &copy).expect("the target directory is ours");
    copy
}

/// The tender for QEMU's emulation of AMD-V, which wants another type of task state segment than any processor.
pub fn husk_for_qemu() -> PathBuf {
    husk_with("available-tss", "lab/build", "tender")
}

/// The same with attempts to break out of its confinement built in.
pub fn attacking_husk_for_qemu() -> PathBuf {
    husk_with("attack,available-tss", "lab/attack", "dev")
}

/// The tender with attempts to break out of its confinement built in.
pub fn attacking_husk() -> &'static Path {
    static HUSK: OnceLock<PathBuf> = OnceLock::new();
    HUSK.get_or_init(|| prebuilt::path("attacking-husk").unwrap_or_else(|| husk_with("attack", "attack", "dev")))
}

/// A tender with these features, built in this part of the target directory: with features, one of its own, as elsewhere it could
/// be taken for what is shipped.
fn husk_with(features: &str, directory: &str, profile: &str) -> PathBuf {
    let directory = target_directory().join(directory);
    let mut line = vec!["build", "--quiet", "--package=husk-tender", "--bin=husk", "--features", features];
    line.extend(["--profile", profile, "--target", MUSL]);
    line.extend(["--target-dir", directory.to_str().expect("a path in UTF-8")]);
    cargo(&line);
    let folder = if profile == "dev" { "debug" } else { profile };
    directory.join(MUSL).join(folder).join("husk")
}

/// `cargo husk`, as a person has it who works in this checkout.
pub fn cargo_husk() -> &'static Path {
    static CARGO_HUSK: OnceLock<PathBuf> = OnceLock::new();
    CARGO_HUSK.get_or_init(|| {
        take_signals();
        cargo(&["build", "--quiet", "--package", "cargo-husk", "--bin", "cargo-husk"]);
        target_directory().join("debug/cargo-husk")
    })
}

/// Lets what we start take the signals that tests send: a process that was started in the background has some of them
/// ignored, and hands that on.
fn take_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: no handler is involved.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// The image that the binary `name` of `package` becomes, in the release profile.
pub fn image(package: &str, name: &str) -> PathBuf {
    if let Some(image) = prebuilt::path(Path::new("images").join(package).join(name)) {
        return image;
    }
    let images = images(package);
    let found = images.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    found.unwrap_or_else(|| panic!("`cargo husk build` made no '{name}', only {images:?}")).clone()
}

/// All images of `package`, in the release profile.
pub fn images(package: &str) -> Vec<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, Vec<PathBuf>>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let images = built.get_or_insert_default().entry(package.to_owned()).or_insert_with(|| {
        let output = cargo(&["husk", "build", "--release", "--package", package]);
        output.lines().map(PathBuf::from).collect()
    });
    images.clone()
}

/// An ordinary program with a table of 200 MB in it.
pub fn large_image() -> PathBuf {
    image("large-table", "large-table")
}

/// A program that the benches compare with, linked statically as the tender is.
pub fn baseline(name: &str) -> PathBuf {
    cargo(&["build", "--quiet", "--release", "--package", "baseline", "--bin", name, "--target", MUSL]);
    copied(&target_directory().join(MUSL).join("release").join(name))
}

/// The same for a program in C, linked statically with the C library of this machine; nothing if it has none for that.
pub fn baseline_of_c(name: &str) -> Option<PathBuf> {
    let source = workspace().join("tests/baseline/c").join(name).with_extension("c");
    let program = target_directory().join("c").join(name);
    std::fs::create_dir_all(program.parent()?).expect("the target directory is ours");
    let status = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status();
    status.is_ok_and(|status| status.success()).then_some(program)
}

/// The same program as [`image`] makes an image of, as a process of this machine.
pub fn native(package: &str, name: &str) -> PathBuf {
    if let Some(program) = prebuilt::path(Path::new("native").join(package).join(name)) {
        return program;
    }
    cargo(&["build", "--quiet", "--release", "--package", package, "--bin", name]);
    target_directory().join("release").join(name)
}

/// Gets the targets that are missing in the toolchain, which whatever is built here is built for.
pub fn provide_targets() {
    static PROVIDED: OnceLock<()> = OnceLock::new();
    PROVIDED.get_or_init(|| {
        let rustc = cargo_program().with_file_name("rustc");
        let rustc = if rustc.is_absolute() && rustc.is_file() { rustc } else { "rustc".into() };
        let provided = Toolchain::of(&rustc).and_then(|toolchain| toolchain.provide(&TARGETS));
        provided.unwrap_or_else(|error| panic!("{error}"));
    });
}

fn cargo_program() -> PathBuf {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into()
}

/// Runs cargo in the workspace and returns its standard output; what it says otherwise goes to ours. It may fetch something,
/// so it has the network that this process was started in.
pub fn cargo(arguments: &[&str]) -> String {
    in_original(|| cargo_here(arguments))
}

fn cargo_here(arguments: &[&str]) -> String {
    provide_targets();
    let mut command = Command::new(cargo_program());
    command.args(arguments).current_dir(workspace());
    // What cargo sets for a test must not leak into a build of something else.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH" {
            command.env_remove(name);
        }
    }
    let running = Running::start_shown(format!("cargo {}", arguments.join(" ")), command, TIMEOUT);
    running.finish().expect_success().stdout()
}

/// Where the workspace's builds go.
pub fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_there() {
        provide_targets();
        let toolchain = Toolchain::of("rustc".as_ref()).expect("it was asked before");
        assert_eq!(toolchain.missing(&TARGETS), [""; 0]);
    }
}
