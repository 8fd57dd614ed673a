//! Sides of the comparison, and how a crate's tests run on each.

use crate::libtest::{Run, Verdict};
use crate::list::Crate;
use crate::log::{self, Log};
use crate::{Result, bounded, folder, source};
use cargo_metadata::{Artifact, Message, TargetKind};
use husk_tests::build;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Target that crates are compiled for on both sides.
pub const TARGET: &str = "x86_64-unknown-linux-musl";
/// Memory of a VM: some suites have a thousand threads, with stacks of two megabytes.
pub const MEMORY: &str = "4G";
/// Time limit of a build: one that takes longer has gone wrong.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Side on which tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Processes of this machine.
    Native,
    /// VMs.
    Guest,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Native { "natively" } else { "in VMs" })
    }
}

/// A test executable of a crate.
#[derive(Debug)]
struct Executable {
    /// Name in the list: `lib`, or the name of the target.
    name: String,
    /// Arguments by which cargo selects the executable.
    words: Vec<String>,
}

impl Side {
    /// Both sides, in the order in which they run.
    pub const BOTH: [Self; 2] = [Self::Native, Self::Guest];

    /// Returns the name of the side in file names.
    pub fn name(self) -> &'static str {
        if self == Self::Native { "native" } else { "guest" }
    }

    /// Runs the tests of `one` unless there is a result already; with `again`, runs them in any case.
    pub fn run(self, one: &Crate, again: bool) -> Result<()> {
        if !again && log::read(one, self).is_some() {
            return Ok(());
        }
        let sources = source::provide(one)?;
        let start = Instant::now();
        let executables = self.build(one, &sources)?;
        println!("    {self}: built in {} s", start.elapsed().as_secs());
        let mut log = Log::begin(one, self)?;
        for executable in executables {
            log.say(&executable.name)?;
            let ended = self.test(one, &sources, &executable, &log.0)?;
            log.say(&ended)?;
        }
        log.complete()?;
        let runs = log::read(one, self).unwrap_or_default();
        let count = |verdict| runs.values().map(|(run, _): &(Run, _)| run.count(verdict)).sum::<usize>();
        let [passed, failed] = [Verdict::Passed, Verdict::Failed].map(count);
        println!("    {self}: {passed} passed, {failed} failed, {} s", start.elapsed().as_secs());
        Ok(())
    }

    /// Runs one test executable, and returns how it ended.
    fn test(self, one: &Crate, sources: &Path, executable: &Executable, log: &File) -> Result<String> {
        let mut skipped: Vec<_> = one.skip.iter().collect();
        if self == Self::Guest {
            skipped.extend(one.differs.iter().filter(|tests| tests.skip));
            if skipped.iter().any(|tests| tests.is_whole(&executable.name)) {
                return Ok("not run".into());
            }
        }
        let names = skipped.iter().filter_map(|tests| tests.test.strip_prefix(&executable.name)?.strip_prefix('/'));
        let mut command = self.cargo(one, sources);
        command.args(&executable.words);
        let names: Vec<_> = names.collect();
        if !names.is_empty() {
            command.args(["--", "--exact"]);
            command.args(names.iter().flat_map(|name| ["--skip", *name]));
        }
        let ended = bounded::run(&mut command, log, Duration::from_secs(one.limit))?;
        Ok(match ended {
            Some(status) if status.success() => log::WELL.to_owned(),
            Some(status) => format!("ended with {status}"),
            None => format!("was ended after {} s", one.limit),
        })
    }

    /// Compiles the tests of `one`, and returns the test executables.
    fn build(self, one: &Crate, sources: &Path) -> Result<Vec<Executable>> {
        let path = folder().join("logs").join(format!("{}.{}.build", one.name, self.name()));
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder().join("logs")).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        let mut command = self.cargo(one, sources);
        command.args(["--tests", "--no-run", "--message-format", "json-render-diagnostics"]);
        let ended = bounded::run(&mut command, &file, BUILD_LIMIT)?;
        if !ended.is_some_and(|status| status.success()) {
            return Err(format!("does not build: see {}", path.display()));
        }
        let output = fs::read(&path).map_err(failed)?;
        let messages = Message::parse_stream(&output[..]).map_while(|message| message.ok());
        let mut executables: Vec<_> = messages.filter_map(|message| executable(&message)).collect();
        executables.sort_by(|one, other| (one.name != "lib", &one.name).cmp(&(other.name != "lib", &other.name)));
        Ok(executables)
    }

    /// Returns the command `cargo test` or `cargo husk test` for `one`.
    fn cargo(self, one: &Crate, sources: &Path) -> Command {
        let mut command = match self {
            Self::Native => {
                let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                command.args(["test", "--target", TARGET]);
                command
            }
            Self::Guest => {
                let mut command = Command::new(tool());
                command.args(["husk", "test", "--memory", MEMORY]).env("HUSK", build::husk());
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH" {
                command.env_remove(name);
            }
        }
        if !one.default_features {
            command.arg("--no-default-features");
        }
        if !one.features.is_empty() {
            command.arg("--features").arg(one.features.join(","));
        }
        command.current_dir(sources).env("CARGO_TARGET_DIR", folder().join(self.name()));
        // Lints and debug information are not tested; two threads make libtest print whole lines on both sides.
        command.env("RUSTFLAGS", "--cap-lints=warn").env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        command.env("RUST_TEST_THREADS", "2").env("RUST_BACKTRACE", "0").env("CARGO_TERM_COLOR", "never");
        command
    }
}

/// Returns the path of `cargo husk`, which is built once.
fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        build::cargo(&["build", "--quiet", "--release", "--package", "cargo-husk"]);
        build::target_directory().join("release/cargo-husk")
    })
}

/// Returns the test executable in cargo's `message`.
fn executable(message: &Message) -> Option<Executable> {
    let Message::CompilerArtifact(Artifact { target, profile, executable: Some(_), .. }) = message else {
        return None;
    };
    let (name, words) = match target.kind.first()? {
        _ if !profile.test => return None,
        TargetKind::Test => (&target.name[..], vec!["--test".to_owned(), target.name.clone()]),
        TargetKind::Bin => (&target.name[..], vec!["--bin".to_owned(), target.name.clone()]),
        TargetKind::Example | TargetKind::Bench => return None,
        _ => ("lib", vec!["--lib".to_owned()]),
    };
    Some(Executable { name: name.to_owned(), words })
}
