//! Calls of cargo: target, linker and runner of a build of images, on top of what the user asked for.

use crate::arguments;
use crate::error::{Error, Result};
use crate::link::request;
use crate::profile::Profile;
use crate::project::{Member, Project};
use crate::settings::Kind;
use crate::toolchain;
use std::env;
use std::path::Path;
use std::process::Command;
use toml::Value;

/// A call of cargo that builds images of one kind.
#[derive(Debug)]
pub struct Call(pub Command);

impl Call {
    /// Makes `cargo <subcommand>` for programs of `kind` in `project`, with the `words` of the user.
    pub fn new(
        subcommand: &str,
        kind: Kind,
        project: &Project,
        flags: &arguments::Cargo,
        words: &[String],
    ) -> Result<Self> {
        toolchain::provide(kind.target())?;
        let executable = env::current_exe().map_err(|error| Error::new(format!("cannot find myself: {error}")))?;
        let mut command = Command::new(toolchain::cargo());
        command.args([subcommand, "--target", kind.target()]);
        command.env(request::KIND, kind.name()).env(request::TOOL, request::identity());
        for member in &project.members {
            command.env(request::settings_variable(&member.name), member.settings.to_variable()?);
        }
        if let Some((build, target)) = &project.folders {
            command.env(request::BUILD_FOLDER, build).env(request::TARGET_FOLDER, target);
        }
        let profile = Profile::select(flags, &project.root);
        if profile.debug_is_unset {
            command.env(profile.debug_variable(), "line-tables-only");
        }
        if profile.is_bare {
            command.env(request::STRIP_DEBUG, "1");
        }
        let mut call = Self(command);
        call.configure(kind, "linker", path_value(&executable)?);
        call.0.args(words);
        Ok(call)
    }

    /// Sets `target.<target>.<key>` for this call.
    fn configure(&mut self, kind: Kind, key: &str, value: Value) {
        self.0.arg("--config").arg(format!("target.{}.{key}={value}", kind.target()));
    }

    /// Has cargo run programs by `tender` with `words` before the name of the image.
    pub fn run_by(&mut self, kind: Kind, tender: &Path, words: Vec<String>) -> Result<()> {
        let words = words.into_iter().map(Value::String);
        let runner = std::iter::once(path_value(tender)?).chain(words).collect();
        self.configure(kind, "runner", Value::Array(runner));
        Ok(())
    }
}

/// Returns a path as cargo's configuration takes it.
fn path_value(path: &Path) -> Result<Value> {
    let text = path.to_str().ok_or_else(|| Error::new(format!("the path '{}' is not UTF-8", path.display())))?;
    Ok(Value::String(text.to_owned()))
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
