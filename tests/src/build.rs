//! Builds the tender and the images of a package for the tests, each once per test process.

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

/// Time limit of a build, including the wait for other builds.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// Returns the workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// True if [`husk`] pretends a slow host.
static PRETENDS: AtomicBool = AtomicBool::new(false);

/// Makes [`husk`] a tender that pretends a slow host. To be called before the first call of [`husk`].
pub fn pretend_slow_host() {
    PRETENDS.store(true, Relaxed);
}

/// Returns the tender, built with the shipped profile, or with the feature that pretends a slow host.
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

/// Returns the tender, beside which lies the program that makes disks.
pub fn husk_with_disks() -> &'static Path {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if prebuilt::path("husk-disk").is_none() {
            programs_with("", "", "tender", &["husk-disk"]);
        }
    });
    husk()
}

/// Returns a copy of the tender, as `cargo install` makes it. A file that a linker has written in pieces occupies small pieces
/// of the page cache, so that mapping it takes 0.04 ms longer per start.
pub fn installed_husk() -> PathBuf {
    copied(husk())
}

/// Copies a program.
fn copied(program: &Path) -> PathBuf {
    let folder = target_directory().join("installed");
    std::fs::create_dir_all(&folder).expect("the target directory is ours");
    let copy = folder.join(program.file_name().expect("a program has a name"));
    // A running program cannot be written to (ETXTBSY), but it can be replaced.
    let _ = std::fs::remove_file(&copy);
    std::fs::copy(program, &copy).expect("the target directory is ours");
    copy
}

/// Returns the tender for QEMU's emulation of AMD-V, which requires another type of task state segment than processors do.
pub fn husk_for_qemu() -> PathBuf {
    husk_with("available-tss", "lab/build", "tender")
}

/// Returns the tender for QEMU's emulation of AMD-V with built-in attempts to break out of its confinement.
pub fn attacking_husk_for_qemu() -> PathBuf {
    husk_with("attack,available-tss", "lab/attack", "dev")
}

/// Returns the tender with built-in attempts to break out of its confinement.
pub fn attacking_husk() -> &'static Path {
    static HUSK: OnceLock<PathBuf> = OnceLock::new();
    HUSK.get_or_init(|| prebuilt::path("attacking-husk").unwrap_or_else(|| husk_with("attack", "attack", "dev")))
}

/// Returns the tender with a thread that pauses the devices all the time.
pub fn pausing_husk() -> &'static Path {
    static HUSK: OnceLock<PathBuf> = OnceLock::new();
    HUSK.get_or_init(|| husk_with("pauses", "pauses", "dev"))
}

/// Builds a tender with these features in this part of the target directory: with features, one of its own, so that the result
/// cannot be mistaken for the shipped tender.
fn husk_with(features: &str, directory: &str, profile: &str) -> PathBuf {
    programs_with(features, directory, profile, &["husk"]).join("husk")
}

/// Builds these programs of the tender's package likewise. Returns their folder.
fn programs_with(features: &str, directory: &str, profile: &str, programs: &[&str]) -> PathBuf {
    let directory = target_directory().join(directory);
    let mut line = vec!["build", "--quiet", "--package=husk-tender", "--features", features];
    line.extend(programs.iter().flat_map(|program| ["--bin", program]));
    line.extend(["--profile", profile, "--target", MUSL]);
    line.extend(["--target-dir", directory.to_str().expect("a path in UTF-8")]);
    cargo(&line);
    let folder = if profile == "dev" { "debug" } else { profile };
    directory.join(MUSL).join(folder)
}

/// Returns `cargo husk`, built from this checkout.
pub fn cargo_husk() -> &'static Path {
    static CARGO_HUSK: OnceLock<PathBuf> = OnceLock::new();
    CARGO_HUSK.get_or_init(|| {
        take_signals();
        cargo(&["build", "--quiet", "--package", "cargo-husk", "--bin", "cargo-husk"]);
        target_directory().join("debug/cargo-husk")
    })
}

/// Resets the signals that tests send to their default actions, because a process that was started in the background inherits
/// some of them as ignored, and so do its children.
fn take_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: installs SIG_DFL, so no handler runs.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Returns the image of the binary `name` of `package`, in the release profile. All images of the package are built with the first,
/// unless tests have been chosen by name, as these need few.
pub fn image(package: &str, name: &str) -> PathBuf {
    if let Some(image) = prebuilt::path(Path::new("images").join(package).join(name)) {
        return image;
    }
    let images = if are_tests_chosen() { built(package, Some(name)) } else { images(package) };
    let found = images.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    found.unwrap_or_else(|| panic!("`cargo husk build` made no '{name}', only {images:?}")).clone()
}

/// Returns all images of `package`, in the release profile.
pub fn images(package: &str) -> Vec<PathBuf> {
    built(package, None)
}

/// Builds the images of `package`, or one of them.
fn built(package: &str, only: Option<&str>) -> Vec<PathBuf> {
    type Built = HashMap<(String, Option<String>), Vec<PathBuf>>;
    static BUILT: Mutex<Option<Built>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let key = (package.to_owned(), only.map(str::to_owned));
    let images = built.get_or_insert_default().entry(key).or_insert_with(|| {
        let mut line = vec!["husk", "build", "--release", "--package", package];
        line.extend(only.iter().flat_map(|name| ["--bin", name]));
        cargo(&line).lines().map(PathBuf::from).collect()
    });
    images.clone()
}

/// Returns true if libtest has been given a part of tests' names.
fn are_tests_chosen() -> bool {
    std::env::args().skip(1).any(|argument| !argument.starts_with('-'))
}

/// Returns the image of an ordinary program that contains a table of 200 MB.
pub fn large_image() -> PathBuf {
    image("large-table", "large-table")
}

/// Returns a program for comparison in benches, linked statically like the tender.
pub fn baseline(name: &str) -> PathBuf {
    cargo(&["build", "--quiet", "--release", "--package", "baseline", "--bin", name, "--target", MUSL]);
    copied(&target_directory().join(MUSL).join("release").join(name))
}

/// Returns a C program for comparison, linked statically with this machine's C library; `None` if that is not possible.
pub fn baseline_of_c(name: &str) -> Option<PathBuf> {
    let source = workspace().join("tests/baseline/c").join(name).with_extension("c");
    let program = target_directory().join("c").join(name);
    std::fs::create_dir_all(program.parent()?).expect("the target directory is ours");
    let status = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status();
    status.is_ok_and(|status| status.success()).then_some(program)
}

/// Returns the program of [`image`] as a process of this machine.
pub fn native(package: &str, name: &str) -> PathBuf {
    if let Some(program) = prebuilt::path(Path::new("native").join(package).join(name)) {
        return program;
    }
    cargo(&["build", "--quiet", "--release", "--package", package, "--bin", name]);
    target_directory().join("release").join(name)
}

/// Returns the program `name` of the package in this folder, which is a workspace of its own, as an image and as a process of this
/// machine.
pub fn apart(folder: &str, name: &str) -> [PathBuf; 2] {
    let directory = target_directory().join("projects");
    let directory_name = directory.to_str().expect("a path in UTF-8");
    let manifest = format!("{folder}/Cargo.toml");
    let options =
        ["--release", "--locked", "--target-dir", directory_name, "--manifest-path", &manifest, "--bin", name];
    let image = cargo(&[&["husk", "build"][..], &options].concat());
    cargo(&[&["build", "--quiet", "--target", MUSL][..], &options].concat());
    [PathBuf::from(image.trim_end()), directory.join(MUSL).join("release").join(name)]
}

/// Has rustc build `source` as a static program with a build-id, the same for all, to be looked at as an image or run as a
/// process. The folder of the program is made anew.
pub fn by_rustc(source: &Path, program: &Path, options: &[&str]) {
    let folder = program.parent().expect("a program is in a folder");
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("a folder for the program");
    provide_targets();
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "--target", MUSL, "-Clink-arg=-Wl,--build-id=0xabcdef0123456789"]);
    rustc.args(options).arg("-o").arg(program).arg(source);
    Running::of(rustc).finish().expect_success();
}

/// Installs the toolchain's missing targets, which all builds here need.
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

/// Runs cargo in the workspace and returns its standard output; its standard error is inherited. Runs in the network namespace
/// of the process at its start, because cargo may download dependencies.
pub fn cargo(arguments: &[&str]) -> String {
    in_original(|| cargo_here(arguments))
}

fn cargo_here(arguments: &[&str]) -> String {
    provide_targets();
    let mut command = Command::new(cargo_program());
    command.args(arguments).current_dir(workspace());
    // Variables that cargo sets for a test must not leak into another build.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH" {
            command.env_remove(name);
        }
    }
    let running = Running::start_shown(format!("cargo {}", arguments.join(" ")), command, TIMEOUT);
    running.finish().expect_success().stdout()
}

/// Returns the workspace's target directory.
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
