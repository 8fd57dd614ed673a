//! What cargo says about a workspace: the JSON text of `cargo metadata`.

use crate::error::{Error, Result};
use crate::toolchain;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A workspace.
#[derive(Debug)]
pub struct Metadata {
    /// Packages that are members, in the order in which the workspace lists them.
    pub packages: Vec<Package>,
    /// Folder of the workspace.
    pub root: PathBuf,
    /// Folder that programs are put into.
    pub target_folder: PathBuf,
    /// Folder that cargo compiles in, if it is another.
    pub build_folder: Option<PathBuf>,
}

/// A package.
#[derive(Debug)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Path of its `Cargo.toml`.
    pub manifest: PathBuf,
    /// Value of `package.metadata`.
    pub metadata: Value,
    /// What cargo can build of it: kind, such as `bin`, and name.
    pub targets: Vec<(String, String)>,
    /// True if the package is among the workspace's default members.
    pub is_default: bool,
}

impl Metadata {
    /// Queries cargo with these options.
    pub fn query(options: Vec<OsString>) -> Result<Self> {
        let mut command = Command::new(toolchain::cargo());
        command.args(["metadata", "--format-version=1", "--no-deps"]).args(options);
        let output = command.output().map_err(|error| Error::start(command.get_program().as_ref(), error))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(reason.trim().trim_start_matches("error: ").to_owned()));
        }
        let value = serde_json::from_slice(&output.stdout).ok();
        let metadata = value.and_then(|value| Self::of(&value));
        metadata
            .ok_or_else(|| Error::new("'cargo metadata' prints what is not understood: update Rust by 'rustup update'"))
    }

    fn of(value: &Value) -> Option<Self> {
        let path = |key| value.get(key)?.as_str().map(PathBuf::from);
        let default = value.get("workspace_default_members")?.as_array()?;
        let packages = value.get("packages")?.as_array()?.iter().map(|package| Package::of(package, default));
        let target_folder = path("target_directory")?;
        Some(Self {
            packages: packages.collect::<Option<_>>()?,
            root: path("workspace_root")?,
            build_folder: path("build_directory").filter(|build| *build != target_folder),
            target_folder,
        })
    }
}

impl Package {
    fn of(value: &Value, default: &[Value]) -> Option<Self> {
        let text = |value: &Value, key| value.get(key)?.as_str().map(str::to_owned);
        let mut targets = vec![];
        for target in value.get("targets")?.as_array()? {
            let name = text(target, "name")?;
            let kinds = target.get("kind")?.as_array()?.iter().filter_map(Value::as_str);
            targets.extend(kinds.map(|kind| (kind.to_owned(), name.clone())));
        }
        Some(Self {
            name: text(value, "name")?,
            manifest: text(value, "manifest_path")?.into(),
            metadata: value.get("metadata")?.clone(),
            targets,
            is_default: default.contains(value.get("id")?),
        })
    }

    /// Returns the folder of the package.
    pub fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new("/"))
    }

    /// Returns the names of all targets of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.targets.iter().filter(move |(other, _)| other == kind).map(|(_, name)| name.as_str())
    }
}
