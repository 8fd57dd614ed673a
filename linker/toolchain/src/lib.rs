//! Requirements on a Rust toolchain to build Husk and its images, and the installation of what is missing.
//!
//! rustup installs what `rust-toolchain.toml` lists by itself, unless RUSTUP_AUTO_INSTALL=0 forbids it; other toolchains
//! (Debian's, Nix's, linked ones) have what their packages bring. So every user of a target checks here first: the build
//! script of `cargo husk`, `cargo husk` itself, and the tests. An error is one line that ends with what to do.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Target of native programs, the libos, and the allocator of ordinary programs.
pub const NONE: &str = "x86_64-unknown-none";
/// Target of ordinary programs and the tender.
pub const MUSL: &str = "x86_64-unknown-linux-musl";
/// Both targets, as `rust-toolchain.toml` lists them.
pub const TARGETS: [&str; 2] = [NONE, MUSL];

/// Returns cargo's target folder that a path lies in, wherever that folder is. cargo keeps the first of these files in each, unless
/// CARGO_CACHE_RUSTC_INFO=0 forbids it, and the second in those that it has made.
pub fn target_folder(path: &Path) -> Option<&Path> {
    const MARKS: [&str; 2] = [".rustc_info.json", "CACHEDIR.TAG"];
    path.ancestors().find(|folder| MARKS.iter().any(|mark| folder.join(mark).is_file()))
}

/// Source of rustup.
const RUSTUP: &str = "https://rustup.rs";

/// A Rust toolchain that is installed.
#[derive(Debug)]
pub struct Toolchain {
    sysroot: PathBuf,
    /// Name of the toolchain, if rustup manages it.
    name: Option<String>,
}

impl Toolchain {
    /// Returns the toolchain that `rustc` belongs to.
    pub fn of(rustc: &Path) -> Result<Self, String> {
        let start = |reason| format!("cannot start '{}': {reason}: install Rust from {RUSTUP}", rustc.display());
        let output =
            Command::new(rustc).args(["--print", "sysroot"]).output().map_err(|error| start(error.to_string()))?;
        if !output.status.success() {
            return Err(start(reason(&output.stderr)));
        }
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        // rustup passes the toolchain's name to the programs that it starts; cargo can also be started without rustup.
        let active = env::var("RUSTUP_TOOLCHAIN").ok();
        let name = active.or_else(|| {
            let is_rustups = sysroot.parent()?.ends_with("toolchains");
            is_rustups.then(|| sysroot.file_name()?.to_str().map(str::to_owned))?
        });
        Ok(Self { sysroot, name })
    }

    /// Returns those of `targets` for which there is no standard library.
    pub fn missing<'a>(&self, targets: &[&'a str]) -> Vec<&'a str> {
        targets.iter().copied().filter(|target| !self.has_library(target)).collect()
    }

    fn has_library(&self, target: &str) -> bool {
        let entries = fs::read_dir(self.libraries(target));
        entries.is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        })
    }

    fn libraries(&self, target: &str) -> PathBuf {
        self.rustlib().join(target).join("lib")
    }

    fn rustlib(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    /// Installs the standard libraries of `targets` where they are missing.
    pub fn provide(&self, targets: &[&str]) -> Result<(), String> {
        if self.missing(targets).is_empty() {
            return Ok(());
        }
        // rustup supports one run at a time in a toolchain, and reports another one that it meets without this lock.
        let lock = File::open(self.rustlib());
        let _locked = lock.as_ref().map(File::lock);
        let missing = self.missing(targets);
        if missing.is_empty() {
            return Ok(());
        }
        let lack = format!("the Rust toolchain in '{}' has no {}", self.sysroot.display(), missing.join(" and no "));
        let Some(name) = &self.name else {
            return Err(format!(
                "{lack}, and is not one of rustup's: install the package of your system that has the standard library \
                 for it, or Rust from {RUSTUP}"
            ));
        };
        let words = [&["target", "add", "--toolchain", name], &missing[..]].concat();
        let mut rustup = Command::new("rustup");
        let output = rustup.args(&words).env("RUST_BACKTRACE", "0").output().map_err(|error| {
            format!(
                "{lack}, and 'rustup' does not start ({error}): install rustup from {RUSTUP}, or add it to the PATH"
            )
        })?;
        let reason = match output.status.success() {
            true if self.missing(&missing).is_empty() => return Ok(()),
            true => "it did, to another toolchain".to_owned(),
            false => reason(&output.stderr),
        };
        Err(format!("{lack}, and rustup cannot add it ({reason}): run 'rustup {}'", words.join(" ")))
    }

    /// Returns the path of a tool that comes with rustc for the target `host`.
    pub fn tool(&self, host: &str, name: &str) -> Result<PathBuf, String> {
        let path = self.rustlib().join(host).join("bin").join(name);
        if path.is_file() {
            return Ok(path);
        }
        let lack = format!("the Rust toolchain in '{}' has no '{name}'", self.sysroot.display());
        Err(match &self.name {
            Some(toolchain) => format!("{lack}: run 'rustup toolchain uninstall {toolchain}' and install it again"),
            None => format!("{lack}, and is not one of rustup's: install Rust from {RUSTUP}"),
        })
    }

    /// Returns the folder of the shared libraries that the tools load.
    pub fn shared_libraries(&self) -> PathBuf {
        self.sysroot.join("lib")
    }

    /// Returns the folder that the toolchain is installed in.
    pub fn sysroot(&self) -> &Path {
        &self.sysroot
    }
}

/// Returns the reason of a program's failure, by its output: its error, and the last of the causes that rustup lists below.
fn reason(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(error) = lines.clone().find_map(|line| line.strip_prefix("error: ")) else {
        return lines.next_back().unwrap_or("it does not say why").to_owned();
    };
    let mut causes = lines.filter_map(|line| line.split_once(": ").filter(|(number, _)| number.parse::<u32>().is_ok()));
    causes.next_back().map_or_else(|| error.to_owned(), |(_, cause)| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_those_that_rustup_installs_by_itself() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rust-toolchain.toml");
        let text = fs::read_to_string(file).expect("it is there");
        let expected = format!("targets = {TARGETS:?}");
        assert!(text.lines().any(|line| line == expected), "no '{expected}' in {text}");
    }

    #[test]
    fn a_target_folder_is_known_by_either_mark() {
        for mark in [".rustc_info.json", "CACHEDIR.TAG"] {
            let folder = env::temp_dir().join(format!("husk-toolchain-{}", std::process::id()));
            let path = folder.join("debug/build/x/out");
            fs::create_dir_all(&path).expect("a folder");
            let before = target_folder(&path).map(Path::to_owned);
            fs::write(folder.join(mark), "").expect("a file");
            let found = target_folder(&path).map(Path::to_owned);
            fs::remove_dir_all(&folder).expect("it is ours");
            assert_eq!((before, found), (None, Some(folder)), "{mark}");
        }
    }

    #[test]
    fn a_reason_is_the_error_with_its_last_cause() {
        let printed =
            "info: downloading\nerror: download failed\n\nCaused by:\n    0: no file\n    1: dns: no server\n";
        assert_eq!(reason(printed.as_bytes()), "download failed: dns: no server");
        assert_eq!(
            reason(b"warning: old\nerror: toolchain 'own' does not support components\n"),
            "toolchain 'own' does not support components"
        );
        assert_eq!(reason(b"no such command\n"), "no such command");
        assert_eq!(reason(b""), "it does not say why");
    }
}
