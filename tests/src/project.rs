//! Cargo projects outside the repository, and calls of `cargo husk` in them, as users make them.
//!
//! A project keeps its folder between runs of the tests, and all projects share one target folder, so that unchanged code is
//! not compiled again. Therefore package names must differ between tests.

use crate::{Outcome, Running, build};
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A project in a folder of its own, with a space in its path.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
}

impl Project {
    /// Creates a project of these files, by path; `name` is the name of its folder.
    pub fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let mut hasher = DefaultHasher::new();
        build::workspace().hash(&mut hasher);
        let folder = std::env::temp_dir().join(format!("husk projects {:x}", hasher.finish())).join(name);
        let project = Self { folder };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// Creates an ordinary package `name` with this main file.
    pub fn program(name: &str, main: &str) -> Self {
        Self::new(name, &[("Cargo.toml", &package(name, "")), ("src/main.rs", main)])
    }

    /// Returns the path of a file in the project.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Prepares a call of `cargo husk` with these words.
    pub fn husk(&self, words: &str) -> CargoHusk {
        let mut command = Command::new(build::cargo_husk());
        command.arg("husk").args(words.split_whitespace()).current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_") || ["RUSTFLAGS", "RUST_BACKTRACE", "RUST_LOG"].contains(&name.as_str()) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_TARGET_DIR", build::target_directory().join("projects")).env("HUSK", build::husk());
        CargoHusk::of(command)
    }

    /// Returns the images that `cargo husk build` with these words makes; its standard output must hold only their paths.
    pub fn build(&self, words: &str) -> Vec<PathBuf> {
        let outcome = self.husk(&format!("build {words}")).build();
        outcome.expect_success();
        let images: Vec<_> = outcome.stdout().lines().map(PathBuf::from).collect();
        assert!(images.iter().all(|path| path.is_absolute() && path.is_file()), "{outcome}");
        images
    }

    /// Writes a file, unless it has that text already, because cargo compares modification times.
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            fs::write(path, text).expect("a file");
        }
    }
}

/// Returns the text of a manifest for the package `name`.
pub fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}\n")
}

/// A call of `cargo husk`.
#[derive(Debug)]
pub struct CargoHusk {
    command: Command,
    input: Vec<u8>,
}

impl CargoHusk {
    /// Returns a call that this command carries out.
    pub fn of(command: Command) -> Self {
        Self { command, input: vec![] }
    }

    /// Sets an environment variable of the tool.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable of the tool.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Adds an argument that may contain spaces or invalid UTF-8.
    pub fn argument(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// Sets the working directory of the call.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets the program's standard input.
    pub fn input(mut self, text: &str) -> Self {
        self.input = text.into();
        self
    }

    /// Starts the call, with a time limit of ten minutes: enough to compile all dependencies on a busy machine.
    pub fn spawn(self) -> Running {
        Running::start(format!("{:?}", self.command), self.command, Duration::from_secs(600)).input(self.input)
    }

    /// Runs a call that starts no guest to its end.
    #[track_caller]
    pub fn build(self) -> Outcome {
        self.spawn().finish()
    }

    /// Runs a call that starts guests to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.build()
    }
}
