//! The environment of a guest: assignments on the command line, values of husk's own environment, and files of both.
//!
//! A value may be a secret, so no message here contains one: messages have names and line numbers only.

use super::{Error, Run};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Byte-order mark of UTF-8, which some editors write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Largest file of assignments, in bytes: more than a guest takes.
const SIZE_MAXIMUM: u64 = 1 << 20;

/// Returns the assignments of a run, each `NAME=VALUE`, no name twice: the command line takes precedence over files, and
/// later words over earlier ones.
pub fn gather(run: &Run) -> Result<Vec<OsString>, Error> {
    let mut gathered: Vec<OsString> = vec![];
    for path in &run.environment_files {
        for (number, line) in lines(path)? {
            let place = || format!("--env-file {}: line {number}", path.display());
            // A line may be a piece of a secret, even where it should be a name.
            let refused = |lack: Lack| Error(format!("{}: {}", place(), lack.of("a variable")));
            gathered.push(assignment(&line, own).map_err(refused)?);
        }
    }
    for word in &run.environment {
        let name = word.to_string_lossy();
        let refused = |lack: Lack| Error(format!("--env: {}", lack.of(&name.escape_debug().to_string())));
        gathered.push(assignment(word, own).map_err(refused)?);
    }
    keep_last(&mut gathered);
    Ok(gathered)
}

fn own(name: &OsStr) -> Option<OsString> {
    std::env::var_os(name)
}

/// Keeps the last assignment of each name.
fn keep_last(gathered: &mut Vec<OsString>) {
    let mut known = HashSet::new();
    gathered.reverse();
    gathered.retain(|assignment| known.insert(name(assignment.as_bytes()).to_owned()));
    gathered.reverse();
}

fn name(assignment: &[u8]) -> &[u8] {
    assignment.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// Part that an assignment lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Name,
    Value,
}

impl Lack {
    /// The error about the variable of this name.
    fn of(self, name: &str) -> String {
        match self {
            Self::Name => "a variable has no name; write NAME=VALUE, or NAME for husk's own".to_owned(),
            Self::Value => format!("{name} is not in husk's own environment; set it there, or write NAME=VALUE"),
        }
    }
}

/// Returns `NAME=VALUE` as it is, `NAME` with the value that `own` has for it.
fn assignment(word: &OsStr, own: impl Fn(&OsStr) -> Option<OsString>) -> Result<OsString, Lack> {
    let bytes = word.as_bytes();
    if bytes.is_empty() || bytes.starts_with(b"=") {
        return Err(Lack::Name);
    }
    if bytes.contains(&b'=') {
        return Ok(word.to_owned());
    }
    let value = own(word).ok_or(Lack::Value)?;
    Ok(OsString::from_vec([bytes, b"=", value.as_bytes()].concat()))
}

/// Returns the lines of a file that are no comment, with their numbers, in docker's format: spaces at the start of a line
/// are skipped, and a byte-order mark at the start of the file; the value is all text behind the `=`, quotes included.
fn lines(path: &Path) -> Result<Vec<(usize, OsString)>, Error> {
    let refused = |reason: String| Error(format!("--env-file {}: {reason}", path.display()));
    let mut text = vec![];
    let read = File::open(path).and_then(|file| file.take(SIZE_MAXIMUM + 1).read_to_end(&mut text));
    read.map_err(|error| refused(format!("{error}; name a file of lines NAME=VALUE")))?;
    if text.len() as u64 > SIZE_MAXIMUM {
        return Err(refused("it is larger than 1M; name a file of lines NAME=VALUE".to_owned()));
    }
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    let mut lines = vec![];
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if name(line).iter().any(|byte| byte.is_ascii_whitespace()) || line.contains(&0) {
            return Err(refused(format!("line {number}: a name has a space or a null byte; write NAME=VALUE")));
        }
        lines.push((number, OsStr::from_bytes(line).to_owned()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_has_the_value_that_husk_has() {
        let own = |name: &OsStr| (name == "TOKEN").then(|| OsString::from("a=b c"));
        let read = |word: &str| assignment(OsStr::new(word), own);
        assert_eq!(read("TOKEN"), Ok("TOKEN=a=b c".into()));
        assert_eq!(read("OTHER="), Ok("OTHER=".into()));
        assert_eq!(read("OTHER"), Err(Lack::Value));
        assert!(Lack::Value.of("OTHER").starts_with("OTHER is not in husk's own environment"));
        for nameless in ["", "=", "=value"] {
            assert_eq!(read(nameless), Err(Lack::Name), "{nameless}");
        }
    }

    #[test]
    fn the_last_word_about_a_name_counts() {
        let mut gathered = ["A=1", "B=2", "A=3=4", "AB=5"].map(OsString::from).to_vec();
        keep_last(&mut gathered);
        assert_eq!(gathered, ["B=2", "A=3=4", "AB=5"]);
    }
}
