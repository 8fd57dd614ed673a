//! `cargo husk disk`: passed on to `husk disk`.

use crate::error::{Error, Result};
use crate::tender;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Replaces this process by `husk disk` with these words.
pub fn run(words: &[OsString]) -> Result<ExitCode> {
    let husk = tender::find(&[tender::DISK])?;
    let error = Command::new(&husk).arg("disk").args(words).exec();
    Err(Error::start(&husk, error))
}
