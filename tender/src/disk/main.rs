//! `husk-disk`: carries out `husk disk`, which makes disks for guests.
//!
//! A program of its own, beside `husk`, because the writer of file systems is as large as a quarter of `husk`, whose process faces guests
//! and whose start is measured.

#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

mod arguments;
mod copy;
mod create;
mod error;
mod fit;
mod identity;
mod image;
mod progress;
mod signals;
mod source;

use arguments::Command;
use error::Error;
use husk_abi::fault::TENDER_ERROR;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    signals::note_all();
    let result = match arguments::parse(std::env::args_os()) {
        Ok(Command::Create(create)) => create.carry_out(),
        Ok(Command::Print(text)) => Ok(text.trim_end().to_owned()),
        Err(error) => Err(Error::Refused(error)),
    };
    match result.and_then(|text| print(&text).map_err(|error| Error::about("standard output", error))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            husk_tender::say!("husk: {error}");
            match error {
                Error::Signal(signal) => ExitCode::from(128 + signal as u8),
                _ => ExitCode::from(TENDER_ERROR),
            }
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{text}")?;
    output.flush()
}
