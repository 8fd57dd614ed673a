//! `cargo husk install` and `uninstall`: images where `cargo install` has programs, as NAME.husk beside them.
//!
//! cargo keeps account of what it has installed, by names of programs. So that an image does not replace the program of
//! the same name, cargo installs into a folder of its own below the root, and each image there is linked into `bin`.

use super::build;
use crate::arguments::Install;
use crate::cargo::{self, Call};
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::forward::Divided;
use crate::project::Project;
use crate::settings::Kind;
use crate::toolchain;
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};

/// Folder below the root in which cargo installs, and extension of images in `bin`.
const OURS: &str = "husk";

/// Runs `cargo <subcommand>`; prints the path of each image that is new.
pub fn run(subcommand: &str, install: &Install, divided: &Divided) -> Result<ExitCode> {
    if let Some(target) = &install.target {
        return Err(cargo::no_target(target));
    }
    let mut command = match subcommand {
        "install" => call(install, divided)?,
        _ => {
            let mut command = Command::new(toolchain::cargo());
            command.arg(subcommand).args(install.cargo.config.iter().flat_map(|value| ["--config", value]));
            command.args(&divided.cargo);
            command
        }
    };
    let root = root(install)?;
    let (ours, bin) = (root.join(OURS), root.join("bin"));
    command.arg("--root").arg(&ours);
    if !divided.rest.is_empty() {
        command.arg("--").args(&divided.rest);
    }
    // cargo warns about a folder that is not in the PATH; this one need not be there.
    command.env("PATH", with_folder(ours.join("bin"))?);
    let before = names(&ours.join("bin"));
    let status = command.status().map_err(|error| Error::start(command.get_program().as_ref(), error))?;
    let after = names(&ours.join("bin"));
    for name in before.difference(&after) {
        let path = image(&bin, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::file("remove", &path, error)),
            _ => {}
        }
    }
    if subcommand == "install" {
        let publish = |name| publish(&ours.join("bin").join(name), &image(&bin, name));
        // One that is refused keeps no other from its place.
        let outcomes: Vec<_> = after.iter().map(publish).collect();
        outcomes.into_iter().collect::<Result<()>>()?;
    }
    Ok(cargo::exit_code(status))
}

/// Returns the call of `cargo install` for what is wanted.
fn call(install: &Install, divided: &Divided) -> Result<Command> {
    let mut flags = install.cargo.clone();
    if install.debug {
        flags.profile = Some("dev".to_owned());
    }
    let project = match &install.path {
        Some(path) => {
            flags.manifest_path = Some(path.join("Cargo.toml"));
            let config = Config::read_from(path, &flags.config);
            Project { config, ..Project::select(&flags, &divided.cargo)? }
        }
        None => Project::elsewhere(&flags),
    };
    let kind = match cargo::kinds(&project.members)[..] {
        [kind] => kind,
        // Programs of a registry need std: the linker step refuses others, whose settings are known only then.
        _ => Kind::Std,
    };
    Ok(Call::new("install", kind, &project, &flags, &divided.cargo)?.command)
}

/// Returns the folder that cargo installs into: the first of those that its manual lists.
fn root(install: &Install) -> Result<PathBuf> {
    let place = install.path.clone().or_else(config::home).unwrap_or_default();
    let configured = || Config::read_from(&place, &install.cargo.config).path(&["install", "root"]);
    let root = install.root.clone().or_else(configured).or_else(config::home);
    let root = root.ok_or_else(|| Error::new("there is no home folder to install into: name a folder by --root"))?;
    std::path::absolute(&root).map_err(|error| Error::file("find", &root, error))
}

/// Returns the variable PATH with a folder after the others.
fn with_folder(folder: PathBuf) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([folder]);
    env::join_paths(folders).map_err(|error| Error::new(format!("cannot install there: {error}")))
}

/// Returns the names of the files in a folder, which may not be there.
fn names(folder: &Path) -> BTreeSet<OsString> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

/// Returns the path of an image in `bin`.
fn image(bin: &Path, name: &OsString) -> PathBuf {
    bin.join(name).with_added_extension(OURS)
}

/// Makes `image` the file `installed`, unless it is; prints its path.
fn publish(installed: &Path, image: &Path) -> Result<()> {
    let identity = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
    if identity(image).is_some_and(|identity_of_image| Some(identity_of_image) == identity(installed)) {
        return Ok(());
    }
    build::check(installed)?;
    let bin = image.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(bin).map_err(|error| Error::file("create", bin, error))?;
    // At any time there is the old image or the new one.
    let own = image.with_added_extension(process::id().to_string());
    // A process that was killed, and had the same number, may have left it; a copy onto a link would empty the file.
    let _ = fs::remove_file(&own);
    fs::hard_link(installed, &own)
        .or_else(|_| fs::copy(installed, &own).map(drop))
        .and_then(|()| fs::rename(&own, image))
        .map_err(|error| Error::file("create", image, error))?;
    // A failure means that the reader is gone.
    let _ = writeln!(std::io::stdout(), "{}", image.display());
    Ok(())
}
