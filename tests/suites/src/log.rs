//! Logs of the output of a crate's test executables on one side. They are also the record of finished work.
//!
//! Lines of this program begin with `=== `: first what was run, then before and after each executable its name and how it
//! ended, and last that all of them have run.

use crate::libtest::Run;
use crate::list::Crate;
use crate::side::Side;
use crate::{Result, folder};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

/// Mark at the start of a line of this program.
const MARK: &str = "=== ";
/// Last line of a complete log.
const COMPLETE: &str = "complete";
/// End of an executable that succeeded.
pub const WELL: &str = "ended well";

/// Runs of a crate's test executables on one side, by name, each with how it ended.
pub type Runs = BTreeMap<String, (Run, String)>;

/// A log that is being written.
#[derive(Debug)]
pub struct Log(pub File);

impl Log {
    /// Begins the log of `one` on `side`.
    pub fn begin(one: &Crate, side: Side) -> Result<Self> {
        let path = path(one, side);
        let failed = |error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder().join("logs")).map_err(failed)?;
        let mut log = Self(File::create(&path).map_err(failed)?);
        log.say(&what(one))?;
        Ok(log)
    }

    /// Adds a line of this program.
    pub fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.0, "\n{MARK}{line}").map_err(|error| format!("cannot write a log: {error}"))
    }

    /// Ends the log.
    pub fn complete(mut self) -> Result<()> {
        self.say(COMPLETE)
    }
}

/// Returns the path of the log of `one` on `side`.
pub fn path(one: &Crate, side: Side) -> PathBuf {
    folder().join("logs").join(format!("{}.{}", one.name, side.name()))
}

/// Returns the first line of a log of `one`: a log with another first line is of no use.
fn what(one: &Crate) -> String {
    let Crate { name, version, features, drop, add, .. } = one;
    let mut what = format!("{name} {version} {features:?} without {drop:?}");
    if !one.default_features {
        what.push_str(", no default features");
    }
    if !add.is_empty() {
        what.push_str(&format!(", with {add:?}"));
    }
    what
}

/// Returns the runs in the log of `one` on `side`, if the log is complete.
pub fn read(one: &Crate, side: Side) -> Option<Runs> {
    let text = fs::read(path(one, side)).ok()?;
    parse(&String::from_utf8_lossy(&text), &what(one))
}

fn parse(text: &str, what: &str) -> Option<Runs> {
    let mark = format!("\n{MARK}");
    let mut parts = text.split(&mark).skip(1).map(|part| part.split_once('\n').unwrap_or((part, "")));
    if parts.next()?.0 != what {
        return None;
    }
    let mut runs = Runs::new();
    while let Some((line, output)) = parts.next() {
        if line == COMPLETE {
            return Some(runs);
        }
        let (ended, _) = parts.next()?;
        runs.insert(line.to_owned(), (Run::read(output), ended.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_logs_of_the_right_thing_count() {
        let text = "\n=== a 1\n\n=== lib\ntest x ... ok\n\n=== ended well\n";
        assert_eq!(parse(text, "a 1"), None);
        let text = format!("{text}\n=== complete\n");
        assert_eq!(parse(&text, "a 2"), None);
        let runs = parse(&text, "a 1").expect("complete");
        assert_eq!(runs["lib"].0.tests.len(), 1);
        assert_eq!(runs["lib"].1, WELL);
    }
}
