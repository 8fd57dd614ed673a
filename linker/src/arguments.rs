//! The command line: each flag declared once, with its help; those of `husk run` in [`husk_flags`] (see [`crate::guest`]).
//!
//! Flags of cargo that matter here, or that take a value, are declared too; any other word with a dash at its start is
//! cargo's as well and passed on as it is (see [`crate::forward`]).

use crate::guest::{self, Guest};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Heading of the flags that cargo gets as well.
pub const CARGO: &str = "Options of cargo";

/// Flags of cargo that cargo gets with values of ours.
pub const OURS: [&str; 2] = ["config", "target_dir"];

/// `cargo husk`: builds cargo projects as unikernel images and runs them.
#[derive(Debug, Parser)]
#[command(name = "cargo husk", bin_name = "cargo husk", version, about, disable_help_subcommand = true)]
pub struct Husk {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a project as images; prints the path of each
    #[command(
        visible_alias = "b",
        after_help = "All other options of 'cargo build' work too. -v also prints how each image's system calls were patched."
    )]
    Build(Build),
    /// Build a program as an image and run it
    #[command(visible_alias = "r", after_help = AFTER_RUN, after_long_help = guest::explained(AFTER_RUN), override_usage = RUN)]
    Run(Run),
    /// Build the tests of a project as images and run each
    #[command(visible_alias = "t", after_help = AFTER_TEST, after_long_help = guest::explained(AFTER_TEST), override_usage = TEST)]
    Test(Run),
    /// Build the benches of a project as images and run each
    #[command(after_help = AFTER_BENCH, after_long_help = guest::explained(AFTER_BENCH), override_usage = BENCH)]
    Bench(Run),
    /// Check a project for errors, without building images
    #[command(visible_alias = "c", after_help = "All other options of 'cargo check' work too.")]
    Check(Check),
    /// Check a project with Clippy
    #[command(after_help = "All other options of 'cargo clippy' work too, those of Clippy after '--'.")]
    Clippy(Check),
    /// Build a program of crates.io, a repository or a folder, and install its image as NAME.husk
    #[command(after_help = AFTER_INSTALL, override_usage = INSTALL)]
    Install(Install),
    /// Remove images that were installed
    #[command(after_help = AFTER_INSTALL, override_usage = "cargo husk uninstall [OPTIONS] [NAME…]")]
    Uninstall(Install),
    /// Compile C and link it as an image, as a C compiler does; also installed as 'husk-cc'
    #[command(disable_help_flag = true, override_usage = "cargo husk cc [OPTIONS OF THE C COMPILER] FILE…")]
    Cc(Cc),
    /// Make a disk with a file system for `--block`
    #[command(disable_help_flag = true, override_usage = "cargo husk disk create FILE SIZE [FLAGS]")]
    Disk(Disk),
    /// Make a new project
    New(New),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page, for `cargo husk man | man -l -`
    Man,
    /// Explain a command or a flag
    Help(Help),
}

const RUN: &str = "cargo husk run [OPTIONS] [CARGO OPTIONS] [-- ARGUMENTS OF THE PROGRAM]";
const AFTER_RUN: &str = "All other options of 'cargo run' work too. The exit status is the guest's. RUST_BACKTRACE, RUST_LOG and \
                         RUST_TEST_THREADS are passed on to it.";
const AFTER_TEST: &str =
    "All other options of 'cargo test' work too. RUST_BACKTRACE, RUST_LOG and RUST_TEST_THREADS are passed on.";
const TEST: &str = "cargo husk test [OPTIONS] [CARGO OPTIONS] [TEST NAME] [-- ARGUMENTS OF THE TESTS]";

const AFTER_BENCH: &str = "All other options of 'cargo bench' work too. RUST_BACKTRACE and RUST_LOG are passed on.";
const BENCH: &str = "cargo husk bench [OPTIONS] [CARGO OPTIONS] [BENCH NAME] [-- ARGUMENTS OF THE BENCHES]";
const INSTALL: &str = "cargo husk install [OPTIONS] [CARGO OPTIONS] [NAME[@VERSION]…]";
const AFTER_INSTALL: &str =
    "All other options of 'cargo install' work too. Images are in the folder in which 'cargo install' puts programs.";

/// `cargo husk install` and `uninstall`.
#[derive(Debug, Args)]
pub struct Install {
    /// Refused.
    #[arg(long, hide = true)]
    pub target: Option<String>,
    /// Folder of the package
    #[arg(long, value_name = "FOLDER", help_heading = CARGO)]
    pub path: Option<PathBuf>,
    /// Folder to install into; images are in its folder 'bin'
    #[arg(long, value_name = "FOLDER")]
    pub root: Option<PathBuf>,
    /// Build with the profile 'dev'
    #[arg(long, help_heading = CARGO)]
    pub debug: bool,
    /// Flags of cargo.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// `cargo husk build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Put the contents of this folder into the images, at /, in place of the packages' own 'files'
    #[arg(long, value_name = "FOLDER")]
    pub files: Option<PathBuf>,
    /// Have the program find the ext4 file system of the disk NAME here, unless `husk run --mount` says otherwise
    #[arg(long, value_name = "NAME:PATH[:ro]")]
    pub mount: Vec<String>,
    /// Refused.
    #[arg(long, hide = true)]
    pub target: Option<String>,
    /// Flags of cargo.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// `cargo husk check` and `clippy`.
#[derive(Debug, Args)]
pub struct Check {
    /// Refused.
    #[arg(long, hide = true)]
    pub target: Option<String>,
    /// Flags of cargo.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// `cargo husk run`, `test` and `bench`.
#[derive(Debug, Args)]
pub struct Run {
    /// Flags of the tender.
    #[command(flatten)]
    pub guest: Guest,
    /// Flags of cargo.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// Flags of cargo that decide what is built and where.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = CARGO)]
pub struct Cargo {
    /// Build this package
    #[arg(short, long, value_name = "SPEC")]
    pub package: Vec<String>,
    /// Build all packages of the workspace
    #[arg(long, alias = "all")]
    pub workspace: bool,
    /// Leave out this package
    #[arg(long, value_name = "SPEC")]
    pub exclude: Vec<String>,
    /// Build this binary
    #[arg(long, value_name = "NAME")]
    pub bin: Vec<String>,
    /// Build this example
    #[arg(long, value_name = "NAME")]
    pub example: Vec<String>,
    /// Build with optimisations
    #[arg(short, long)]
    pub release: bool,
    /// Build with this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Features to activate
    #[arg(short = 'F', long, value_name = "FEATURES")]
    pub features: Vec<String>,
    /// Path of Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Folder for everything that is generated
    #[arg(long, value_name = "FOLDER")]
    pub target_dir: Option<PathBuf>,
    /// Set a value of cargo's configuration
    #[arg(long, value_name = "KEY=VALUE")]
    pub config: Vec<String>,
    /// Flags that matter only because they take a value.
    #[command(flatten)]
    pub other: Other,
}

/// Flags of cargo that are known here only for their values.
#[derive(Clone, Debug, Default, Args)]
pub struct Other {
    #[arg(long, hide = true)]
    pub message_format: Vec<String>,
    #[arg(long, hide = true)]
    test: Vec<String>,
    #[arg(long, hide = true)]
    bench: Vec<String>,
    #[arg(short, long, hide = true)]
    jobs: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(short = 'Z', hide = true)]
    unstable: Vec<String>,
    #[arg(long, hide = true)]
    lockfile_path: Option<String>,
    #[arg(long, hide = true)]
    artifact_dir: Option<String>,
}

/// `cargo husk cc`.
#[derive(Debug, Args)]
pub struct Cc {
    /// Words for the C compiler.
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
    pub words: Vec<OsString>,
}

/// `cargo husk disk`.
#[derive(Debug, Args)]
pub struct Disk {
    /// Words for `husk disk`.
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
    pub words: Vec<OsString>,
}

/// `cargo husk new`.
#[derive(Debug, Args)]
pub struct New {
    /// Folder to make; its last part names the package
    pub path: PathBuf,
    /// A no_std program over the crate 'husk': no libos, a much smaller image
    #[arg(long)]
    pub no_std: bool,
}

/// `cargo husk completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = husk_flags::completions::SHELLS.to_vec())]
    pub shell: String,
}

/// `cargo husk help`.
#[derive(Debug, Args)]
pub struct Help {
    /// A command, or a flag with or without its dashes
    #[arg(value_name = "COMMAND|FLAG", allow_hyphen_values = true)]
    pub topic: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Husk::command().debug_assert();
    }
}
