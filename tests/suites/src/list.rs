//! The list of crates, crates.toml.

use crate::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "crate")]
    crates: Vec<Crate>,
}

/// A crate whose tests are run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Crate {
    /// Its name in the registry.
    pub name: String,
    /// Exactly this version.
    pub version: String,
    /// Whether it has its default features.
    #[serde(default = "yes")]
    pub default_features: bool,
    /// Features on top of these.
    #[serde(default)]
    pub features: Vec<String>,
    /// Dependencies of its tests that the published manifest has lost, with their versions: cargo leaves out what the
    /// manifest in the repository names by a path alone.
    #[serde(default)]
    pub add: BTreeMap<String, String>,
    /// Dependencies that only benches and examples use; they are not compiled.
    #[serde(default)]
    pub drop: Vec<String>,
    /// How long one test executable may run, in seconds.
    #[serde(default = "limit")]
    pub limit: u64,
    /// Tests that run on neither side.
    #[serde(default)]
    pub skip: Vec<Tests>,
    /// Tests that pass natively, and not in a VM.
    #[serde(default)]
    pub differs: Vec<Tests>,
}

/// Some tests of a crate, and what there is to say about them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// `executable/name`, or the beginning of that and `*`; the executable of the library's own tests is `lib`.
    pub test: String,
    /// The reason, in one line.
    pub why: String,
    /// It would take the tests after it along, so it is not even run.
    #[serde(default)]
    pub skip: bool,
}

/// On, unless an entry says otherwise.
fn yes() -> bool {
    true
}

/// The limit of a crate that asks for no other.
fn limit() -> u64 {
    180
}

impl Crate {
    /// A crate of which nothing else is known.
    pub fn new(name: &str, version: &str) -> Self {
        let [name, version] = [name, version].map(str::to_owned);
        let (features, add, drop, skip, differs) = Default::default();
        Self { name, version, default_features: true, features, add, drop, limit: limit(), skip, differs }
    }
}

impl Tests {
    /// Whether `test` is one of them.
    pub fn has(&self, test: &str) -> bool {
        match self.test.strip_suffix('*') {
            Some(beginning) => test.starts_with(beginning),
            None => test == self.test,
        }
    }

    /// Whether they are all that `executable` has.
    pub fn is_whole(&self, executable: &str) -> bool {
        self.test.strip_suffix('*').is_some_and(|beginning| format!("{executable}/").starts_with(beginning))
    }
}

/// Where the list is.
pub fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/crates.toml"))
}

/// Reads it.
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
