//! Reading of configuration files, and of what they include.

use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Files that include each other in a circle end here; cargo refuses them.
const DEPTH: usize = 16;

/// A configuration file, or a value of the command line.
#[derive(Debug)]
pub struct Source {
    pub table: Table,
    /// Folder that paths are relative to.
    pub folder: PathBuf,
}

impl Source {
    /// Returns the value of a key.
    pub fn value(&self, key: &[&str]) -> Option<&Value> {
        let (last, tables) = key.split_last()?;
        tables.iter().try_fold(&self.table, |table, name| table.get(*name)?.as_table())?.get(*last)
    }
}

/// Returns the sources that a value of `--config` is: a path of a file, or an assignment.
pub fn given(value: &str, current: &Path) -> Vec<Source> {
    let path = current.join(value);
    if path.is_file() {
        return file(&path, DEPTH);
    }
    value.parse().map_or_else(|_| vec![], |table| with_included(table, current.into(), current, DEPTH))
}

/// Returns the configuration files of a folder and those above it, and that in `home`.
pub fn files(current: &Path, home: Option<&Path>) -> Vec<Source> {
    let folders = current.ancestors().map(|folder| folder.join(".cargo"));
    let home = home.filter(|home| !folders.clone().any(|folder| folder == **home)).map(Path::to_owned);
    let path =
        |folder: PathBuf| [folder.join("config"), folder.join("config.toml")].into_iter().find(|path| path.is_file());
    folders.chain(home).filter_map(path).flat_map(|path| file(&path, DEPTH)).collect()
}

/// Reads a file. Its paths are relative to the folder of its folder.
fn file(path: &Path, depth: usize) -> Vec<Source> {
    let Some(table) = fs::read_to_string(path).ok().and_then(|text| text.parse().ok()) else { return vec![] };
    let folder = path.parent().unwrap_or(Path::new("/"));
    with_included(table, folder.parent().unwrap_or(folder).into(), folder, depth)
}

/// Returns a source, and after it those that it includes by paths relative to `place`.
fn with_included(table: Table, folder: PathBuf, place: &Path, depth: usize) -> Vec<Source> {
    let mut paths = vec![];
    let path = |value: &Value| match value {
        Value::Table(table) => table.get("path")?.as_str().map(|path| place.join(path)),
        other => other.as_str().map(|path| place.join(path)),
    };
    match table.get("include") {
        Some(Value::Array(values)) => paths.extend(values.iter().rev().filter_map(path)),
        Some(value) => paths.extend(path(value)),
        None => {}
    }
    let included = paths.iter().filter(|_| depth > 0).flat_map(|path| file(path, depth - 1));
    let included: Vec<_> = included.collect();
    std::iter::once(Source { table, folder }).chain(included).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn nearer_files_come_first_and_included_ones_after_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        write(
            folder.path(),
            "a/.cargo/config.toml",
            "n = 1\ninclude = ['x.toml', { path = 'y.toml', optional = true }, 'no.toml']",
        );
        write(folder.path(), "a/.cargo/x.toml", "n = 3\ninclude = ['x.toml']");
        write(folder.path(), "a/.cargo/y.toml", "n = 2");
        write(folder.path(), ".cargo/config", "n = 4");
        write(folder.path(), ".cargo/config.toml", "n = 9");
        write(folder.path(), "home/config.toml", "n = 5");
        let home = folder.path().join("home");
        let sources = files(&folder.path().join("a"), Some(&home));
        let mut numbers: Vec<_> = sources.iter().filter_map(|source| source.value(&["n"])?.as_integer()).collect();
        numbers.dedup();
        // Above the temporary folder there may be files of the machine, which do not have this key.
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(sources[0].folder, folder.path().join("a"));
    }

    #[test]
    fn a_value_of_the_command_line_is_an_assignment_or_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "more/extra.toml", "build.jobs = 2");
        let file = given("more/extra.toml", folder.path());
        assert_eq!((file.len(), &file[0].folder), (1, &folder.path().to_owned()));
        assert_eq!(given("build.jobs = 3", folder.path())[0].value(&["build", "jobs"]), Some(&Value::Integer(3)));
        assert!(given("no such file", folder.path()).is_empty());
    }
}
