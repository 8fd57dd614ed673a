//! A throwaway cargo project, and calls of `cargo husk` in it.

use husk_tests::{CargoHusk, Outcome};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// An ordinary program that makes a few system calls.
pub const HELLO: &str = r#"fn main() { println!("hello {}", std::env::args().count()); }"#;

/// Variables of the machine that decide how an image is built.
const CLEARED: [&str; 11] = [
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_INSTALL_ROOT",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "HUSK",
    "RUST_BACKTRACE",
    "CC",
    "TARGET_CC",
    "CC_x86_64_unknown_linux_musl",
];

/// A project in a folder of its own, with a space in its path.
pub struct Project {
    folder: TempDir,
    is_sharing: bool,
}

impl Project {
    /// Makes a project of these files, by path.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("husk test ").tempdir().expect("a temporary folder");
        let project = Self { folder, is_sharing: false };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// Makes a program with `manifest` after its `[package]`.
    pub fn program(manifest: &str) -> Self {
        Self::new(&[("Cargo.toml", &package("app", manifest)), ("src/main.rs", HELLO)])
    }

    /// Builds in a folder that such projects share, where dependencies need not be compiled again.
    pub fn sharing(mut self) -> Self {
        self.is_sharing = true;
        self
    }

    /// Writes one file.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Returns the path of a file in the project.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Prepares `cargo husk` with these words.
    pub fn husk(&self, words: &str) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-husk"));
        command.arg("husk");
        self.call(command, words)
    }

    /// Prepares cargo itself with these words.
    pub fn cargo(&self, words: &str) -> Call {
        self.call(Command::new(env!("CARGO")), words)
    }

    fn call(&self, mut command: Command, words: &str) -> Call {
        command.args(words.split_whitespace()).current_dir(self.folder.path());
        for name in CLEARED {
            command.env_remove(name);
        }
        if self.is_sharing {
            command.env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/images"));
        }
        Call(CargoHusk::of(command))
    }

    /// Builds with these words; returns the images.
    pub fn build(&self, words: &str) -> Vec<PathBuf> {
        self.husk(&format!("build {words}")).images()
    }
}

/// Returns the text of a manifest for the package `name`.
pub fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}\n")
}

/// A call of `cargo husk`.
pub struct Call(CargoHusk);

impl Call {
    /// Sets an environment variable.
    pub fn env(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        Self(self.0.env(name, value))
    }

    /// Sets the working directory.
    pub fn folder(self, folder: &Path) -> Self {
        Self(self.0.folder(folder))
    }

    /// Adds a word that may have spaces.
    pub fn argument(self, word: &str) -> Self {
        Self(self.0.argument(word))
    }

    /// Runs the call, for a bounded time.
    pub fn outcome(self) -> Outcome {
        self.0.build()
    }

    /// Runs the call; returns the lines that it prints.
    pub fn lines(self) -> Vec<String> {
        self.outcome().expect_success().stdout().lines().map(str::to_owned).collect()
    }

    /// Runs the call; returns the images that it names.
    pub fn images(self) -> Vec<PathBuf> {
        let images: Vec<_> = self.lines().into_iter().map(PathBuf::from).collect();
        assert!(images.iter().all(|path| path.is_absolute() && path.is_file()), "{images:?}");
        images
    }

    /// Runs the call, which must fail; returns its error output.
    pub fn complaint(self) -> String {
        let outcome = self.outcome();
        assert_ne!(outcome.status(), 0, "{outcome}");
        outcome.stderr()
    }
}

/// Returns the name of a file, for comparisons.
pub fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}
