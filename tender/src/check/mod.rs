//! `husk check`: what this host offers, what Husk makes of it, and a remedy beside each thing that is missing.
//!
//! Every row is a query to the host at this moment, or a measurement in a virtual machine of the kind that guests get
//! (`guest`); nothing is concluded from names of processors or versions of kernels. Facts that are in files alone are read
//! through `Host`, so that tests can supply hosts.

mod backends;
mod guest;
mod kernel;
mod kvm;
mod limits;
mod neighbours;
mod processor;
mod show;

use std::fs;
use std::path::{Path, PathBuf};

/// Features of a host, line by line. Displays as a table; [`Check::json`] is for programs.
#[derive(Debug)]
pub struct Check {
    rows: Vec<Row>,
    colour: bool,
}

/// Line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    group: &'static str,
    name: &'static str,
    state: State,
    value: String,
    /// The value as a number, for programs, and its unit.
    number: Option<(u64, &'static str)>,
    remedy: Option<String>,
}

/// Meaning of a line for guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The best state.
    Good,
    /// A fact that is neither good nor bad.
    Fact,
    /// Husk has a substitute for what is missing.
    Without,
    /// Guests are protected less; `--strict` refuses.
    Weaker,
    /// Neighbours on the same machine learn or lose more than they need to.
    Shared,
    /// Guests do not run in virtual machines.
    Missing,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Fact => "is",
            Self::Without => "without",
            Self::Weaker => "weaker",
            Self::Shared => "shared",
            Self::Missing => "missing",
        }
    }
}

impl Check {
    /// Examines this host.
    pub fn here() -> Self {
        let host = Host::default();
        let mut rows = kvm::rows(&host);
        rows.extend(processor::rows(&host));
        rows.extend(kernel::rows(&host));
        rows.extend(backends::network());
        rows.extend(backends::disks(&host));
        rows.extend(limits::rows(&host));
        rows.extend(neighbours::rows(&host));
        Self { rows, colour: false }
    }

    /// Marks groups and states for a terminal.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    /// Returns true if guests run well in virtual machines here: KVM opens and has what is needed, a test guest ran to its
    /// end, and the tender can confine itself.
    pub fn is_well(&self) -> bool {
        self.rows.iter().all(|row| row.state != State::Missing)
    }

    /// Returns true if `husk run --strict` would start a guest.
    fn is_strict(&self) -> bool {
        self.is_well() && self.rows.iter().all(|row| row.state != State::Weaker)
    }

    fn verdict(&self) -> &'static str {
        match (self.is_well(), self.is_strict()) {
            (true, true) => "guests run well in virtual machines here",
            (true, false) => "guests run well in virtual machines here, but --strict refuses",
            (false, _) => "guests do not run in virtual machines here",
        }
    }
}

impl Row {
    fn new(group: &'static str, name: &'static str, state: State, value: impl Into<String>) -> Self {
        Self { group, name, state, value: value.into(), number: None, remedy: None }
    }

    /// Adds the remedy.
    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    fn number(self, value: u64, unit: &'static str) -> Self {
        Self { number: Some((value, unit)), ..self }
    }

    /// Line about a feature that is present, or else has this remedy.
    fn of(group: &'static str, name: &'static str, found: Result<String, Lacking>) -> Self {
        match found {
            Ok(value) => Self::new(group, name, State::Good, value),
            Err(Lacking { state, value, remedy }) => Self::new(group, name, state, value).remedy(remedy),
        }
    }
}

/// A feature that is missing.
#[derive(Debug)]
struct Lacking {
    state: State,
    value: String,
    remedy: String,
}

impl Lacking {
    fn new(state: State, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state, value: value.into(), remedy: remedy.into() }
    }

    fn without(value: impl ToString, remedy: impl Into<String>) -> Self {
        Self::new(State::Without, value.to_string(), remedy)
    }
}

/// Files of the host that describe it.
#[derive(Debug)]
struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Host {
    /// Returns the contents of a file, without space around them; nothing if it cannot be read.
    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.root.join(path.as_ref())).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn has(&self, path: impl AsRef<Path>) -> bool {
        self.root.join(path.as_ref()).exists()
    }

    /// Returns the number in a file.
    fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.read(path)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a host that has these files alone.
    pub fn host(name: &str, files: &[(&str, &str)]) -> Host {
        let root = std::env::temp_dir().join(format!("husk-check-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, contents) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
            fs::write(path, contents).expect("a file");
        }
        Host { root }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            if self.root.starts_with(std::env::temp_dir()) {
                let _ = fs::remove_dir_all(&self.root);
            }
        }
    }

    pub fn example(states: &[State]) -> Check {
        let row = |state: &State| Row::new("group", "name", *state, "value");
        Check { rows: states.iter().map(row).collect(), colour: false }
    }

    #[test]
    fn only_what_keeps_machines_from_running_is_not_well() {
        use State::{Fact, Good, Missing, Shared, Weaker, Without};
        let usual = example(&[Good, Fact, Without, Shared]);
        assert!(usual.is_well() && usual.is_strict());
        let weaker = example(&[Good, Weaker]);
        assert!(weaker.is_well() && !weaker.is_strict());
        let missing = example(&[Good, Missing]);
        assert!(!missing.is_well() && !missing.is_strict());
    }
}
