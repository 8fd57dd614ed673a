//! Packages that a command line selects, and the kind of program that each of them makes.
//!
//! The rules are cargo's: packages named by `-p`, or the whole workspace, or those that the folder or manifest path
//! selects. A package takes part if it has what `--bin` and `--example` ask for.

use crate::arguments;
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::metadata::{Metadata, Package};
use crate::mounts;
use crate::settings::{Kind, Settings};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Folder for images in cargo's folders. A compiled dependency is fresh for one linker only, so that cargo would compile all
/// of them again whenever a build for the same target without `cargo husk` is followed by one with it.
const OURS: &str = "husk";

/// A package that is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the package.
    pub name: String,
    /// Settings of its images.
    pub settings: Settings,
    /// True if the package has a binary or example to make an image of.
    pub has_programs: bool,
}

/// The packages that a command line selects.
#[derive(Debug)]
pub struct Project {
    /// The packages, in the order in which the workspace lists them.
    pub members: Vec<Member>,
    /// The folder of the workspace, unless cargo has to get it from elsewhere.
    pub root: Option<PathBuf>,
    /// Folder that images are put into, if it does not go when cargo ends.
    pub target_folder: Option<PathBuf>,
    /// Folder that cargo compiles in, if it is another.
    pub build_folder: Option<PathBuf>,
    /// cargo's configuration.
    pub config: Config,
}

impl Project {
    /// Queries cargo about the workspace and selects what `flags` mean.
    pub fn select(flags: &arguments::Cargo, others: &[String]) -> Result<Self> {
        let mut options: Vec<OsString> = vec![];
        if let Some(path) = &flags.manifest_path {
            options.extend(["--manifest-path".into(), path.into()]);
        }
        let kept = ["--offline", "--locked", "--frozen"];
        options.extend(others.iter().filter(|word| kept.contains(&word.as_str())).map(OsString::from));
        options.extend(flags.config.iter().flat_map(|value| ["--config".into(), value.into()]));
        let metadata = Metadata::query(options)?;
        let members = packages(&metadata, flags)?.into_iter().filter(|package| has_wanted(package, flags));
        let members = members.map(member).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            members,
            target_folder: Some(ours_in(flags.target_dir.as_ref().unwrap_or(&metadata.target_folder))),
            // `build.build-dir` may be configured.
            build_folder: metadata.build_folder.map(|folder| folder.join(OURS)),
            config: Config::read(&flags.config),
            root: Some(metadata.root),
        })
    }
}

impl Project {
    /// Has the contents of `folder` go into all images, in place of the packages' own files.
    pub fn put_in(&mut self, folder: &Path) -> Result<()> {
        let folder = folder.canonicalize().map_err(|error| Error::file("read", folder, error))?;
        for member in self.members.iter_mut().filter(|member| member.has_programs) {
            if member.settings.kind == Kind::Native {
                let complaint = format!("--files: a native program has no files; leave out package '{}'", member.name);
                return Err(Error::new(complaint));
            }
            member.settings.files = Some(folder.clone());
        }
        Ok(())
    }

    /// Has all images mount disks like this, in place of what the packages say.
    pub fn mount(&mut self, mounts: &[String]) -> Result<()> {
        mounts.iter().try_for_each(|mount| mounts::check(mount)).map_err(Error::new)?;
        for member in self.members.iter_mut().filter(|member| member.has_programs) {
            if member.settings.kind == Kind::Native {
                let complaint = format!("--mount: a native program has no files; leave out package '{}'", member.name);
                return Err(Error::new(complaint));
            }
            member.settings.volumes = true;
            member.settings.mounts = mounts.to_vec();
        }
        Ok(())
    }

    /// Makes images that can mount disks, but for native programs, which have no files.
    pub fn link_volumes(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.settings.kind == Kind::Std) {
            member.settings.volumes = true;
        }
    }

    /// Returns a project that cargo gets from a registry or a repository: its packages are not known yet.
    pub fn elsewhere(flags: &arguments::Cargo) -> Self {
        // cargo does not read the configuration of the current folder for what is no part of it.
        let config = Config::read_from(&config::home().unwrap_or_default(), &flags.config);
        let configured =
            || env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).or_else(|| config.path(&["build", "target-dir"]));
        let target_folder = flags.target_dir.clone().or_else(configured).map(|folder| ours_in(&folder));
        Self { members: vec![], root: None, target_folder, build_folder: None, config }
    }
}

/// Returns the folder for images in a target folder, as an absolute path: one of the command line may be relative, and not be there
/// yet.
fn ours_in(target_folder: &Path) -> PathBuf {
    let folder = target_folder.join(OURS);
    std::path::absolute(&folder).unwrap_or(folder)
}

fn member(package: &Package) -> Result<Member> {
    let has_programs = package.of_kind("bin").chain(package.of_kind("example")).next().is_some();
    let settings = Settings::from_metadata(&package.name, package.folder(), &package.metadata)?;
    Ok(Member { name: package.name.clone(), settings, has_programs })
}

/// Returns the packages that `flags` select.
fn packages<'a>(metadata: &'a Metadata, flags: &arguments::Cargo) -> Result<Vec<&'a Package>> {
    if !flags.package.is_empty() {
        let is_named = |package: &&Package| flags.package.iter().any(|spec| names(spec, package));
        return Ok(metadata.packages.iter().filter(is_named).collect());
    }
    if flags.workspace {
        let is_left = |package: &&Package| !flags.exclude.iter().any(|spec| names(spec, package));
        return Ok(metadata.packages.iter().filter(is_left).collect());
    }
    let manifest = match &flags.manifest_path {
        Some(path) => Some(path.canonicalize().map_err(|error| Error::file("read", path, error))?),
        None => nearest_manifest(),
    };
    let is_here = |package: &&Package| manifest.as_ref() == Some(&package.manifest);
    match metadata.packages.iter().find(is_here) {
        // In the workspace's own folder the default members are selected, even if there is a package in that folder.
        Some(package) if package.folder() != metadata.root => Ok(vec![package]),
        _ => Ok(metadata.packages.iter().filter(|package| package.is_default).collect()),
    }
}

/// Returns `Cargo.toml` in the current folder or the next one above that has it.
fn nearest_manifest() -> Option<PathBuf> {
    let folder = env::current_dir().ok()?;
    folder.ancestors().map(|folder| folder.join("Cargo.toml")).find(|path| path.is_file())
}

/// Returns true if the package specification `spec` means `package`: a name or `name@version`, a path, or a pattern with
/// `*` and `?`.
fn names(spec: &str, package: &Package) -> bool {
    let name = spec.rsplit('#').next().unwrap_or(spec);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    matches(name.as_bytes(), package.name.as_bytes()) || {
        let path = Path::new(spec.trim_start_matches("path+").trim_start_matches("file://"));
        path.canonicalize().is_ok_and(|path| path == package.folder())
    }
}

/// Returns true if `text` fits `pattern`, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => matches(rest, text) || !text.is_empty() && matches(pattern, &text[1..]),
        ([b'?', rest @ ..], [_, text @ ..]) => matches(rest, text),
        ([first, rest @ ..], [byte, text @ ..]) if first == byte => matches(rest, text),
        _ => false,
    }
}

/// Returns true if `package` has a program that `--bin` or `--example` asks for, if anything is asked for.
fn has_wanted(package: &Package, flags: &arguments::Cargo) -> bool {
    let has = |kind, patterns: &[String]| {
        let fits = |name: &str| patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()));
        package.of_kind(kind).any(fits)
    };
    flags.bin.is_empty() && flags.example.is_empty() || has("bin", &flags.bin) || has("example", &flags.example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text) in [("app", "app"), ("a*", "app"), ("*", ""), ("?pp", "app"), ("a*p*", "apxp")] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("app", "apps"), ("a?", "a"), ("", "a"), ("b*", "app")] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
