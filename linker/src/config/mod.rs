//! cargo's configuration, as far as an image depends on it: cargo has no stable query for that.
//!
//! Sources, the highest precedence first: `--config`, of which a later one precedes an earlier one; environment
//! variables; configuration files from the current folder upwards; that in cargo's home. A file precedes those that it
//! includes. Strings and numbers are those of the first source that has them, lists are joined. cargo itself complains
//! about sources that cannot be read.

mod read;
mod target;

pub use target::Target;

use read::Source;
use std::env;
use std::path::{Path, PathBuf};
use toml::Value;

/// Configuration of a call of cargo.
#[derive(Debug, Default)]
pub struct Config {
    /// Values of the command line, the highest precedence first.
    given: Vec<Source>,
    /// Configuration files, the highest precedence first.
    files: Vec<Source>,
}

impl Config {
    /// Reads the configuration that cargo has in the current folder, with these values of `--config`.
    pub fn read(given: &[String]) -> Self {
        Self::read_from(&env::current_dir().unwrap_or_default(), given)
    }

    /// Reads configuration files from `folder` upwards.
    pub fn read_from(folder: &Path, given: &[String]) -> Self {
        let current = env::current_dir().unwrap_or_default();
        let (folder, home) = (current.join(folder), home().map(|home| current.join(home)));
        let given = given.iter().rev().flat_map(|value| read::given(value, &current)).collect();
        Self { given, files: read::files(&folder, home.as_deref()) }
    }

    /// Returns true if `key` has a value.
    pub fn sets(&self, key: &[&str]) -> bool {
        variable(key).is_some() || self.sources().any(|source| source.value(key).is_some())
    }

    /// Returns true if `[env]` gives the environment variable `name` a value.
    pub fn gives_variable(&self, name: &str) -> bool {
        let is_value = |value: &Value| value.is_str() || value.get("value").is_some_and(Value::is_str);
        self.sources().any(|source| source.value(&["env", name]).is_some_and(is_value))
    }

    /// Returns a string.
    pub fn text(&self, key: &[&str]) -> Option<String> {
        self.found(key).map(|(text, _)| text)
    }

    /// Returns a path to a program: of its name alone, or relative to the place that names it.
    pub fn program(&self, key: &[&str]) -> Option<PathBuf> {
        let (text, folder) = self.found(key)?;
        Some(if text.contains('/') { folder.join(text) } else { text.into() })
    }

    /// Returns a path of a folder, relative to the place that names it.
    pub fn path(&self, key: &[&str]) -> Option<PathBuf> {
        self.found(key).map(|(text, folder)| folder.join(text))
    }

    /// Returns the words of a list, or of a string that has spaces between them. The words of the environment variable are
    /// joined to those of the other sources, after the words of files and before those of `--config`.
    pub fn words(&self, key: &[&str]) -> Vec<String> {
        let (mut before, mut after) = (vec![], vec![]);
        for value in self.files.iter().rev().filter_map(|source| source.value(key)) {
            match value {
                Value::Array(values) => before.extend(texts(values)),
                Value::String(text) => before = split(text).collect(),
                _ => {}
            }
        }
        for value in self.given.iter().rev().filter_map(|source| source.value(key)) {
            match value {
                Value::Array(values) => after.extend(texts(values)),
                Value::String(text) => (before, after) = (vec![], split(text).collect()),
                _ => {}
            }
        }
        before.extend(variable(key).iter().flat_map(|text| split(text)));
        before.append(&mut after);
        before
    }

    /// Returns true if a source other than the environment has a string under `key`, where it could have a list.
    pub fn is_text(&self, key: &[&str]) -> bool {
        self.sources().any(|source| source.value(key).is_some_and(Value::is_str))
    }

    /// Returns a string, and the folder that it is relative to.
    fn found(&self, key: &[&str]) -> Option<(String, PathBuf)> {
        let of = |sources: &[Source]| {
            sources.iter().find_map(|source| Some((source.value(key)?.as_str()?.to_owned(), source.folder.clone())))
        };
        let in_environment = || Some((variable(key)?, env::current_dir().ok()?));
        of(&self.given).or_else(in_environment).or_else(|| of(&self.files))
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.given.iter().chain(&self.files)
    }
}

/// Returns cargo's home.
pub fn home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// Returns the environment variable of a key.
fn variable(key: &[&str]) -> Option<String> {
    env::var(variable_name(key)).ok()
}

/// Returns the name of the environment variable of a key.
fn variable_name(key: &[&str]) -> String {
    format!("CARGO_{}", key.join("_").to_uppercase().replace(['-', '.'], "_"))
}

fn texts(values: &[Value]) -> impl Iterator<Item = String> {
    values.iter().filter_map(Value::as_str).map(str::to_owned)
}

/// Splits a string at spaces.
pub fn split(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

/// Makes a configuration of these files, the highest precedence first.
#[cfg(test)]
pub fn of_files(texts: &[&str]) -> Config {
    let source = |text: &&str| Source { table: text.parse().expect("is TOML"), folder: "/the folder".into() };
    Config { given: vec![], files: texts.iter().map(source).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_the_first_source_and_lists_are_joined() {
        let config = of_files(&["a.b = 'near'\na.list = ['3']", "a.b = 'far'\na.c = 'x y'\na.list = ['1', '2']"]);
        assert_eq!(config.text(&["a", "b"]).as_deref(), Some("near"));
        assert_eq!(config.words(&["a", "list"]), ["1", "2", "3"]);
        assert_eq!(config.words(&["a", "c"]), ["x", "y"]);
        assert!(config.is_text(&["a", "c"]) && !config.is_text(&["a", "list"]) && !config.sets(&["a", "d"]));
    }

    #[test]
    fn variables_of_build_scripts_are_strings_or_tables() {
        let config = of_files(&["[env]\nA = 'a'\nB = { value = 'b', relative = true }\nC = { force = true }"]);
        assert_eq!(["A", "B", "C", "D"].map(|name| config.gives_variable(name)), [true, true, false, false]);
    }

    #[test]
    fn programs_are_names_or_relative_to_their_file() {
        let config = of_files(&["a.name = 'clang'\na.path = 'tools/cc'\na.absolute = '/bin/cc'"]);
        let program = |key| config.program(&["a", key]).expect("it is set");
        assert_eq!(program("name"), PathBuf::from("clang"));
        assert_eq!(program("path"), PathBuf::from("/the folder/tools/cc"));
        assert_eq!(program("absolute"), PathBuf::from("/bin/cc"));
    }

    #[test]
    fn variables_are_named_as_by_cargo() {
        assert_eq!(
            variable_name(&["target", "x86_64-unknown-none", "linker"]),
            "CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER"
        );
    }
}
