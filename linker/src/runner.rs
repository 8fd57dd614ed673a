//! The runner that cargo calls where its configuration has one in the form of a string: cargo adds no list to a string.
//!
//! Otherwise cargo calls the tender itself. Words with spaces do not fit into a string, so they come through the
//! environment.

use crate::error::{Error, Result};
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// First word of a call by cargo.
pub const NAME: &str = "husk-runner";

/// Variable with the words of the runner, and [`SEPARATOR`] between them.
pub const WORDS: &str = "HUSK_RUNNER";

/// Separator of words: a control character that arguments do not contain.
const SEPARATOR: char = '\x1f';

/// Returns the value of [`WORDS`].
pub fn join(words: &[String]) -> String {
    words.join(&SEPARATOR.to_string())
}

/// Replaces this process by the tender, with its words and `arguments`: those after [`NAME`].
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let words = env::var(WORDS).map_err(|error| Error::new(format!("{WORDS}: {error}")))?;
    let mut words = words.split(SEPARATOR);
    let program = Path::new(words.next().unwrap_or_default());
    let error = Command::new(program).args(words).args(arguments).env_remove(WORDS).exec();
    Err(Error::start(program, error))
}
