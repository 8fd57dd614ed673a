//! The list of crates, crates.toml.

use crate::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Contents of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "crate")]
    crates: Vec<Crate>,
}

/// Crate with tests to run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Crate {
    /// Name in the registry.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// True if the crate is built with its default features.
    #[serde(default = "yes")]
    pub default_features: bool,
    /// Features besides the default ones.
    #[serde(default)]
    pub features: Vec<String>,
    /// Dependencies of the tests that the published manifest has lost, with their versions: cargo leaves out what the
    /// manifest in the repository names by a path alone.
    #[serde(default)]
    pub add: BTreeMap<String, String>,
    /// Dependencies that only benches and examples use; they are not compiled.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Longest run of one test executable, in seconds.
    #[serde(default = "limit")]
    pub limit: u64,
    /// Tests that run on neither side.
    #[serde(default)]
    pub skip: Vec<Tests>,
    /// Tests that pass natively, and not in a VM.
    #[serde(default)]
    pub differs: Vec<Tests>,
}

/// Tests of a crate, with the reason for their entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// `executable/name`, or the beginning of that and `*`; the executable of the library's own tests is `lib`.
    pub test: String,
    /// The reason, in one line.
    pub why: String,
    /// True if the tests are not even run, because they would take the tests after them along.
    #[serde(default)]
    pub skip: bool,
}

/// Returns true, which is the default of an entry.
fn yes() -> bool {
    true
}

/// Returns the limit of a crate that asks for no other.
fn limit() -> u64 {
    180
}

impl Crate {
    /// Returns a crate with nothing but a name and a version.
    pub fn new(name: &str, version: &str) -> Self {
        let [name, version] = [name, version].map(str::to_owned);
        let (features, add, drop, skip, differs) = Default::default();
        Self { name, version, default_features: true, features, add, drop, limit: limit(), skip, differs }
    }
}

impl Tests {
    /// Returns true if `test` is one of these tests.
    pub fn has(&self, test: &str) -> bool {
        match self.test.strip_suffix('*') {
            Some(beginning) => test.starts_with(beginning),
            None => test == self.test,
        }
    }

    /// Returns true if these are all tests that `executable` has.
    pub fn is_whole(&self, executable: &str) -> bool {
        self.test.strip_suffix('*').is_some_and(|beginning| format!("{executable}/").starts_with(beginning))
    }
}

/// Returns the path of the list.
pub fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/crates.toml"))
}

/// Reads the list.
pub fn read() -> Result<Vec<Crate>> {
    let text = fs::read_to_string(path()).map_err(|error| format!("cannot read {}: {error}", path().display()))?;
    let list: List = toml::from_str(&text).map_err(|error| format!("{}: {error}", path().display()))?;
    Ok(list.crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(test: &str) -> Tests {
        Tests { test: test.into(), why: String::new(), skip: false }
    }

    #[test]
    fn a_star_stands_for_any_end() {
        assert!(tests("lib/a::*").has("lib/a::b") && !tests("lib/a::*").has("lib/b") && tests("lib/b").has("lib/b"));
        assert!(tests("fs*").is_whole("fs") && tests("fs/*").is_whole("fs") && !tests("fs/a*").is_whole("fs"));
    }

    #[test]
    fn the_list_can_be_read_and_names_no_crate_twice() {
        let list = read().expect("it is in the repository");
        for (at, one) in list.iter().enumerate() {
            assert!(list.iter().skip(at + 1).all(|other| other.name != one.name), "{}", one.name);
            assert!(one.skip.iter().chain(&one.differs).all(|tests| !tests.why.is_empty()), "{}", one.name);
        }
    }
}
