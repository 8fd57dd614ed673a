//! Sources of published crates, as cargo fetches them.
//!
//! A scratch package that depends on the exact version makes cargo fetch it; a copy of what it fetched becomes a
//! workspace of its own. Dependencies of its tests are the newest that fit, so that the crates share their builds.

use crate::list::Crate;
use crate::side::TARGET;
use crate::{Result, folder};
use cargo_metadata::MetadataCommand;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Returns the folder with the sources of `one`, which are fetched if need be.
pub fn provide(one: &Crate) -> Result<PathBuf> {
    let sources = folder().join("sources").join(format!("{}-{}", one.name, one.version));
    let manifest = sources.join("Cargo.toml");
    if !manifest.is_file() {
        copy(&fetch(one)?, &sources)?;
        // The published manifest is the original, which is edited anew for every run.
        let _ = fs::remove_file(sources.join("Cargo.lock"));
        rename(&manifest, &sources.join("Cargo.toml.published"))?;
    }
    let published = sources.join("Cargo.toml.published");
    let text = fs::read_to_string(&published).map_err(|error| format!("{}: {error}", published.display()))?;
    let edited = edit(&text, one).map_err(|error| format!("{}: {error}", published.display()))?;
    if fs::read_to_string(&manifest).ok().as_ref() != Some(&edited) {
        fs::write(&manifest, edited).map_err(|error| format!("{}: {error}", manifest.display()))?;
    }
    Ok(sources)
}

/// Has cargo fetch `one`, and returns the folder in which cargo keeps it.
fn fetch(one: &Crate) -> Result<PathBuf> {
    let scratch = folder().join("fetch").join(&one.name);
    let failed = |error: &dyn std::fmt::Display| format!("cannot fetch: {error}");
    fs::create_dir_all(scratch.join("src")).map_err(|error| failed(&error))?;
    fs::write(scratch.join("src/lib.rs"), "").map_err(|error| failed(&error))?;
    let manifest = format!(
        "[package]\nname = \"scratch\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies.{}]\nversion = \"={}\"\n",
        one.name, one.version
    );
    fs::write(scratch.join("Cargo.toml"), manifest).map_err(|error| failed(&error))?;
    let mut command = MetadataCommand::new();
    command.current_dir(&scratch).other_options(["--filter-platform".to_owned(), TARGET.to_owned()]);
    let metadata = command.exec().map_err(|error| failed(&error))?;
    let is_it = |package: &&cargo_metadata::Package| *package.name == one.name;
    let package = metadata.packages.iter().find(is_it).ok_or_else(|| failed(&"cargo does not list it"))?;
    Ok(package.manifest_path.parent().unwrap_or(&package.manifest_path).into())
}

/// Returns the manifest `text` as that of a workspace of its own, without the list's `drop` and with its `add`.
fn edit(text: &str, one: &Crate) -> std::result::Result<String, toml::de::Error> {
    let drop = &one.drop;
    let mut manifest: Table = toml::from_str(text)?;
    manifest.insert("workspace".into(), Value::Table(Table::new()));
    // Other crates that the tests use, and that depend on this one, get these sources and not a second copy.
    let itself: Table = toml::from_str(&format!("crates-io.{}.path = '.'", one.name))?;
    manifest.insert("patch".into(), Value::Table(itself));
    if let Some(Value::Array(tests)) = manifest.get_mut("test") {
        tests.retain(|test| {
            let name = test.get("name").and_then(Value::as_str).unwrap_or_default();
            !one.skip.iter().any(|tests| tests.is_whole(name))
        });
    }
    without(&mut manifest, drop);
    with(&mut manifest, &one.add);
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()).for_each(|target| without(target, drop));
    }
    if !drop.is_empty() {
        // Benches and examples would not compile, and are not compiled.
        manifest.remove("bench");
        manifest.remove("example");
    }
    Ok(manifest.to_string())
}

/// Removes the names `drop` from the dependencies of tests in `table`.
fn without(table: &mut Table, drop: &[String]) {
    if let Some(Value::Table(dependencies)) = table.get_mut("dev-dependencies") {
        dependencies.retain(|name, _| !drop.iter().any(|dropped| dropped == name));
    }
}

/// Adds the names and versions `add` to the dependencies of tests in `table`.
fn with(table: &mut Table, add: &BTreeMap<String, String>) {
    let dependencies = table.entry("dev-dependencies").or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(dependencies) = dependencies {
        dependencies.extend(add.iter().map(|(name, version)| (name.clone(), Value::String(version.clone()))));
    }
}

/// Copies the folder `from` to `to`.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: std::io::Error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let copied = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &copied)?;
        } else {
            fs::copy(entry.path(), copied).map_err(failed)?;
        }
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| format!("cannot rename {}: {error}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_dependencies_are_gone_wherever_they_were() {
        let text = "[package]\nname = \"a\"\n[dev-dependencies.slow]\nversion = \"1\"\n[dev-dependencies.quick]\n\
                    version = \"1\"\n[target.\"cfg(unix)\".dev-dependencies.slow]\nversion = \"1\"\n";
        let one: Crate = toml::from_str("name = 'a'\nversion = '1'\ndrop = ['slow']").expect("valid");
        let edited = edit(text, &one).expect("valid");
        assert!(!edited.contains("slow") && edited.contains("quick") && edited.contains("[workspace]"), "{edited}");
    }

    #[test]
    fn dependencies_are_added_whether_there_were_any_or_not() {
        let one: Crate = toml::from_str("name = 'a'\nversion = '1'\nadd = { b = '=2.0.1' }").expect("valid");
        for before in ["", "[dev-dependencies]\nc = \"1\"\n"] {
            let edited = edit(&format!("[package]\nname = \"a\"\n{before}"), &one).expect("valid");
            let manifest: Table = toml::from_str(&edited).expect("it is a manifest");
            let dependencies = manifest["dev-dependencies"].as_table().expect("it is a table");
            assert_eq!(dependencies["b"].as_str(), Some("=2.0.1"));
            assert_eq!(dependencies.contains_key("c"), !before.is_empty());
        }
    }
}
