//! The command line of `husk`: each flag declared once, with its help.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs Husk images: single-application virtual machines.
#[derive(Debug, Parser)]
#[command(name = "husk", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `husk` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an image to its end; the exit status is the guest's
    #[command(
        after_help = "Exit status: the guest's own; 128 + n for a guest that was stopped, n being the signal that \
                            Linux would have sent; 125 if husk itself could not go on."
    )]
    Run(Run),
    /// Tell what an image is, without running it: manifest, segments, sizes, system call sites
    Inspect(Inspect),
}

/// Flags of `husk inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// Print one line of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// The image, made by `cargo husk build`
    pub image: PathBuf,
}

/// Flags of `husk run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Guest memory, such as 64M or 2G; default: what the image asks for
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Set an environment variable of the guest; NAME alone passes on its value here
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<OsString>,
    /// Load a relocatable image at the same address every time
    #[arg(long)]
    pub no_aslr: bool,
    /// Tell what the guest does: unanswered system calls, exits, times
    #[arg(short, long)]
    pub verbose: bool,
    /// The image, made by `cargo husk build`
    pub image: PathBuf,
    /// Arguments of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// Reads a size: a number of bytes, or of K, M or G.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.trim_end_matches(['B', 'b', 'i']).char_indices().next_back() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| "write it as a number with K, M or G, such as 64M".to_owned())?;
    number.checked_mul(unit).filter(|size| *size > 0).ok_or_else(|| "out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "M", "0", "12X", "-1", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
