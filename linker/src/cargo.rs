//! Calls of cargo: target, linker and runner of a build of images, on top of what the user asked for.

use crate::arguments;
use crate::c;
use crate::config::Target;
use crate::error::{Error, Result};
use crate::link::request;
use crate::profile::Profile;
use crate::project::{Member, Project};
use crate::runner;
use crate::settings::Kind;
use crate::toolchain;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use toml::Value;

/// A call of cargo that builds images of one kind.
#[derive(Debug)]
pub struct Call {
    /// The call itself.
    pub command: Command,
    kind: Kind,
    runner_is_text: bool,
}

impl Call {
    /// Makes `cargo <subcommand>` for programs of `kind` in `project`, with the `words` of the user.
    pub fn new(
        subcommand: &str,
        kind: Kind,
        project: &Project,
        flags: &arguments::Cargo,
        words: &[String],
    ) -> Result<Self> {
        let rustc = toolchain::rustc(&project.config);
        toolchain::provide(&rustc, kind.target())?;
        let mut command = Command::new(toolchain::cargo());
        command.args([subcommand, "--target", kind.target()]);
        // Values of ours come later, so that they take precedence.
        command.args(flags.config.iter().flat_map(|value| ["--config", value]));
        command.env(request::KIND, kind.name()).env(request::TOOL, request::identity());
        for member in &project.members {
            command.env(request::settings_variable(&member.name), member.settings.to_variable()?);
        }
        if let Some(build) = &project.build_folder {
            command.env(request::BUILD_FOLDER, build);
            command.envs(project.target_folder.iter().map(|folder| (request::TARGET_FOLDER, folder)));
            command.arg("--config").arg(format!("build.build-dir={}", path_value(build)?));
        }
        if let Some(folder) = &project.target_folder {
            command.arg("--target-dir").arg(folder);
        }
        let profile = Profile::select(subcommand, flags, &project.config, project.root.as_deref());
        // A program is installed without the file with its line tables.
        if profile.debug_is_unset && subcommand != "install" {
            command.env(profile.debug_variable(), "line-tables-only");
        }
        if profile.is_bare {
            command.env(request::STRIP_DEBUG, "1");
        }
        let target = Target::select(&project.config, kind.target(), &rustc);
        command.envs(target.linker().map(|linker| (request::LINKER, linker)));
        command.envs(target.flags_without_linker());
        if kind == Kind::Std {
            command.envs(c::variables(project.target_folder.as_deref(), &project.config)?);
        }
        let mut call = Self { command, kind, runner_is_text: target.runner_is_text() };
        call.configure("linker", path_value(&executable()?)?);
        call.command.args(words);
        Ok(call)
    }

    /// Sets `target.<target>.<key>` for this call.
    fn configure(&mut self, key: &str, value: Value) {
        self.command.arg("--config").arg(format!("target.{}.{key}={value}", self.kind.target()));
    }

    /// Has cargo run programs by `tender` with `words` before the name of the image.
    pub fn run_by(&mut self, tender: &Path, words: Vec<String>) -> Result<()> {
        let words: Vec<_> = std::iter::once(text(tender)?.to_owned()).chain(words).collect();
        if !self.runner_is_text {
            self.configure("runner", Value::Array(words.into_iter().map(Value::String).collect()));
            return Ok(());
        }
        // cargo adds no list to a string, and splits a string at spaces.
        let executable = executable()?;
        let runner = text(&executable)?;
        if runner.contains(char::is_whitespace) {
            let key = format!("target.{}.runner", self.kind.target());
            return Err(Error::new(format!(
                "'{key}' in cargo's configuration is a string, and '{runner}' has a space: write the runner as a list"
            )));
        }
        self.command.env(runner::WORDS, runner::join(&words));
        self.configure("runner", Value::String(format!("{runner} {}", runner::NAME)));
        Ok(())
    }
}

/// Returns a path as cargo's configuration takes it.
fn path_value(path: &Path) -> Result<Value> {
    text(path).map(|text| Value::String(text.to_owned()))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::new(format!("the path '{}' is not UTF-8", path.display())))
}

/// Returns the path of this program.
pub fn executable() -> Result<PathBuf> {
    env::current_exe().map_err(|error| Error::new(format!("cannot find myself: {error}")))
}

/// Returns the exit status of cargo as that of this tool.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Returns the error about a target of the compiler's.
pub fn no_target(target: &str) -> Error {
    Error::new(format!(
        "--target {target}: an image is built for every target alike, and runs in a virtual machine (hvt) or a process \
         (spt); remove the option ('std = false' in [package.metadata.husk] makes a native program)"
    ))
}

/// Returns the kinds of program among `members`, each once.
pub fn kinds(members: &[Member]) -> Vec<Kind> {
    let has = |kind: &Kind| members.iter().any(|member| member.settings.kind == *kind);
    [Kind::Std, Kind::Native].into_iter().filter(has).collect()
}
