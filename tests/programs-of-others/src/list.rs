//! The list of programs, programs.toml.

use crate::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

const LIST: &str = include_str!("../programs.toml");

/// A published program, and what is asked of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Name of the package on crates.io.
    pub name: String,
    /// Version of the package.
    pub version: String,
    /// What it is, for readers of the table.
    pub what: String,
    /// Name of the executable, if it is not that of the package.
    pub executable: Option<String>,
    /// Features to activate.
    #[serde(default)]
    pub features: Vec<String>,
    /// Activate the package's default features too.
    #[serde(default = "yes")]
    pub default_features: bool,
    /// Memory of the guest.
    pub memory: Option<String>,
    /// Flags of `husk run` that the program needs.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Files that it finds in its folder, and what is in them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Runs of a tool, from start to end.
    #[serde(default)]
    pub run: Vec<Run>,
    /// A server, and what its clients ask.
    pub serve: Option<Serve>,
    /// Lines of output that hold one of these are not compared: times and the like.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Compare the lines in alphabetical order.
    #[serde(default)]
    pub sort: bool,
    /// Why answers differ from those on Linux, if they are known to.
    pub differs: Option<String>,
}

/// A run of a tool.
///
/// In all words, `{here}` is the folder with the program's files, and `{port}` that of the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its arguments.
    pub args: Vec<String>,
    /// Its standard input.
    #[serde(default)]
    pub input: String,
}

/// A server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Its arguments.
    pub args: Vec<String>,
    /// True if clients reach it by UDP as well.
    #[serde(default)]
    pub udp: bool,
    /// Commands of clients, with their arguments; the first one is repeated until the server answers it.
    pub ask: Vec<Vec<String>>,
}

fn yes() -> bool {
    true
}

/// Shape of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    program: Vec<Program>,
}

/// Returns the programs of the list.
pub fn read() -> Result<Vec<Program>> {
    let list: List = toml::from_str(LIST).map_err(|error| format!("programs.toml: {error}"))?;
    Ok(list.program)
}

impl Program {
    /// Returns the name of the executable.
    pub fn executable(&self) -> &str {
        self.executable.as_deref().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_the_list_is_asked_something() {
        let list = read().expect("a list");
        for (at, program) in list.iter().enumerate() {
            let name = &program.name;
            assert!(!list[..at].iter().any(|other| other.name == *name), "{name} twice");
            assert!(
                !program.run.is_empty() || program.serve.as_ref().is_some_and(|serve| !serve.ask.is_empty()),
                "{name}"
            );
        }
    }
}
