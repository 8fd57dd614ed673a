//! `cargo husk build`: builds images and prints their paths.

use crate::arguments::{self, Build};
use crate::cargo::{self, Call};
use crate::error::{Error, Result};
use crate::forward::Divided;
use crate::link::{is_image, request};
use crate::project::Project;
use crate::settings::Kind;
use serde_json::Value;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};

/// Builds what `build` says, with the other words of the command line in `divided`.
pub fn run(build: &Build, divided: &Divided) -> Result<ExitCode> {
    if let Some(target) = &build.target {
        return Err(cargo::no_target(target));
    }
    let mut project = Project::select(&build.cargo, &divided.cargo)?;
    build.files.iter().try_for_each(|folder| project.put_in(folder))?;
    if !build.mount.is_empty() {
        project.mount(&build.mount)?;
    }
    let kinds = cargo::kinds(&project.members);
    let mut images = Vec::new();
    for &kind in &kinds {
        let words = if kinds.len() > 1 { only(kind, &project, divided) } else { divided.cargo.clone() };
        let mut call = Call::new("build", kind, &project, &build.cargo, &words)?;
        match build_one(&mut call, wants_json(&build.cargo), &mut images)? {
            status if status == ExitCode::SUCCESS => {}
            status => return Ok(status),
        }
    }
    if kinds.is_empty() {
        // cargo has the best message about a name that it does not know.
        let mut call = Call::new("build", Kind::Std, &project, &build.cargo, &divided.cargo)?;
        return build_one(&mut call, false, &mut images);
    }
    if !wants_json(&build.cargo) {
        let mut output = std::io::stdout().lock();
        for image in images {
            // A failure means that the reader is gone.
            let _ = writeln!(output, "{}", image.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the words of the command line with the packages of `kind` in place of the user's selection.
pub fn only(kind: Kind, project: &Project, divided: &Divided) -> Vec<String> {
    let selecting = ["-p", "--package", "--exclude"];
    let mut words = Vec::new();
    let mut given = divided.cargo.iter();
    while let Some(word) = given.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        match name {
            "--workspace" | "--all" => {}
            name if selecting.contains(&name) => {
                if value.is_none() {
                    given.next();
                }
            }
            name if name.starts_with("-p") => {}
            _ => words.push(word.clone()),
        }
    }
    for member in project.members.iter().filter(|member| member.settings.kind == kind) {
        words.extend(["--package".to_owned(), member.name.clone()]);
    }
    words
}

/// Returns true if the user wants cargo's messages rather than paths.
fn wants_json(flags: &arguments::Cargo) -> bool {
    flags.other.message_format.iter().any(|format| format.starts_with("json"))
}

/// Runs one cargo, and adds the images it made.
fn build_one(call: &mut Call, echo: bool, images: &mut Vec<PathBuf>) -> Result<ExitCode> {
    if !echo {
        call.command.arg("--message-format=json-render-diagnostics");
    }
    let messages = Messages::create();
    let is_verbose = call.command.get_args().any(|word| word == "-v" || word == "--verbose");
    call.command.envs(messages.iter().map(|messages| (request::MESSAGES, &messages.0))).stdout(Stdio::piped());
    let mut child = call.command.spawn().map_err(|error| Error::start(call.command.get_program().as_ref(), error))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
            if echo {
                // A failure means that the reader is gone.
                let _ = writeln!(std::io::stdout(), "{line}");
            }
            images.extend(image(&line));
        }
    }
    let status = child.wait().map_err(|error| Error::new(format!("cannot wait for cargo: {error}")))?;
    if let Some(messages) = messages {
        messages.show(is_verbose);
    }
    match status.code() {
        Some(0) => images.iter().try_for_each(|path| check(path)).map(|()| ExitCode::SUCCESS),
        _ => Ok(cargo::exit_code(status)),
    }
}

/// Returns the image that a message of cargo names.
fn image(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_artifact = message.get("reason")? == "compiler-artifact";
    message.get("executable")?.as_str().filter(|_| is_artifact).map(PathBuf::from)
}

/// Refuses a program that something else has linked.
pub fn check(path: &Path) -> Result<()> {
    if is_image(path) {
        return Ok(());
    }
    Err(Error::new(format!(
        "'{}' is no image: another linker made it; remove '-C linker' from what a wrapper of rustc adds",
        path.display()
    )))
}

/// File that collects the messages of the linker step.
struct Messages(PathBuf);

impl Messages {
    /// Makes an empty file; none if the path is taken or not writable, because the folder is shared by all users.
    fn create() -> Option<Self> {
        let path = env::temp_dir().join(format!("husk-messages-{}", process::id()));
        File::create_new(&path).ok().map(|_| Self(path))
    }

    /// Prints all messages, or just the warnings.
    fn show(&self, all: bool) {
        for line in fs::read_to_string(&self.0).unwrap_or_default().lines() {
            if all || line.starts_with("warning: ") {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        // A file that is left behind is empty or has been shown.
        let _ = fs::remove_file(&self.0);
    }
}
