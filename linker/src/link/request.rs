//! Request of `cargo husk` to the linker step: variables in the environment, which cargo and rustc hand through.
//!
//! rustc's notes on what a program was made from (the `.d` file beside it) get a line for every variable that the image
//! depends on. cargo compares them before it calls something fresh: an image is linked again when its settings in
//! `Cargo.toml` change or another version of this tool comes.

use crate::error::{Error, Result};
use crate::settings::{Kind, Settings};
use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Kind of program that is being built. The variable's presence shows that rustc called, not a person.
pub const KIND: &str = "HUSK_LINK_KIND";
/// Identity of the build of this tool that links; see [`identity`].
pub const TOOL: &str = "HUSK_LINK_TOOL";
/// Set if debug information is there for crash reports only, and the image is to be without.
pub const STRIP_DEBUG: &str = "HUSK_LINK_STRIP_DEBUG";
/// Linker that cargo's configuration names.
pub const LINKER: &str = "HUSK_LINK_LINKER";
/// File that takes messages, because rustc does not show what a linker prints.
pub const MESSAGES: &str = "HUSK_LINK_MESSAGES";

/// The folder that cargo compiles in, if programs are copied to [`TARGET_FOLDER`] from there.
pub const BUILD_FOLDER: &str = "HUSK_LINK_BUILD_FOLDER";
/// The folder that programs are copied to.
pub const TARGET_FOLDER: &str = "HUSK_LINK_TARGET_FOLDER";

/// Returns the variable with the settings of a package's images.
pub fn settings_variable(package: &str) -> String {
    format!("HUSK_LINK_SETTINGS_{package}")
}

/// Output that is requested from the linker step.
#[derive(Debug)]
pub struct Request {
    /// Settings of the package that the program belongs to.
    pub settings: Settings,
    /// True if debug information is to be stripped even though the compiler does not ask for it.
    pub strip_debug: bool,
    /// Linker that is to do the work, if one is configured.
    pub linker: Option<PathBuf>,
    /// The folder that cargo compiles in and the one that programs are copied to, if they differ.
    pub folders: Option<(PathBuf, PathBuf)>,
    /// Variables that the output depends on.
    variables: Vec<String>,
    messages: Option<PathBuf>,
}

impl Request {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self> {
        let kind = match env::var(KIND).as_deref() {
            Ok("std") => Kind::Std,
            Ok("native") => Kind::Native,
            other => return Err(Error::new(format!("{KIND} is {other:?}: it is for cargo husk to set"))),
        };
        let mut variables = vec![TOOL.to_owned(), LINKER.to_owned()];
        let mut settings = Settings::of_kind(kind);
        if let Ok(package) = env::var("CARGO_PKG_NAME") {
            let variable = settings_variable(&package);
            settings = match (env::var(&variable), env::var_os("CARGO_MANIFEST_DIR")) {
                (Ok(text), _) => Settings::from_variable(kind, &text)?,
                // A program that is installed: its package is known only now.
                (Err(_), Some(folder)) => Settings::from_manifest(kind, &package, folder.as_ref())?,
                (Err(_), None) => settings,
            };
            variables.push(variable);
        }
        let messages = env::var_os(MESSAGES).map(PathBuf::from);
        let folders = env::var_os(BUILD_FOLDER).zip(env::var_os(TARGET_FOLDER));
        let folders = folders.map(|(build, target)| (build.into(), target.into()));
        let linker = env::var_os(LINKER).map(PathBuf::from);
        Ok(Self { settings, linker, folders, strip_debug: env::var_os(STRIP_DEBUG).is_some(), variables, messages })
    }

    /// Shows a message to the person at the terminal, if that is possible.
    pub fn say(&self, message: &str) {
        let Some(path) = &self.messages else { return };
        if let Ok(mut file) = OpenOptions::new().append(true).open(path) {
            // A message that is lost is no reason to fail.
            let _ = writeln!(file, "{message}");
        }
    }

    /// Makes cargo link `output` again when a variable changes.
    pub fn track(&self, output: &Path) -> Result<()> {
        let notes = output.with_added_extension("d");
        // Doctests and plain calls of rustc have no such notes.
        let Ok(mut file) = OpenOptions::new().append(true).open(&notes) else { return Ok(()) };
        let mut text = String::from("\n");
        for name in &self.variables {
            match env::var(name) {
                Ok(value) => text.push_str(&format!("# env-dep:{name}={value}\n")),
                Err(_) => text.push_str(&format!("# env-dep:{name}\n")),
            }
        }
        file.write_all(text.as_bytes()).map_err(|error| Error::file("write", &notes, error))
    }
}

/// Identifies this build of the tool, libos included: size and time of its executable.
pub fn identity() -> String {
    let executable = env::current_exe().and_then(|path| path.metadata());
    let (length, changed) = executable.map_or((0, None), |metadata| (metadata.len(), metadata.modified().ok()));
    let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{}-{length}-{}", env!("CARGO_PKG_VERSION"), changed.as_nanos())
}
