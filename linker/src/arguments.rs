//! The command line: each flag declared once, with its help.
//!
//! Flags of cargo that matter here, or that take a value, are declared too; any other word with a dash at its start is
//! cargo's as well and passed on as it is (see [`crate::forward`]).

use crate::rules::Rules;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Heading of the flags that cargo gets as well.
pub const CARGO: &str = "Options of cargo";

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
        after_help = "All other options of 'cargo build' work too. -v also tells what became of each image's system calls."
    )]
    Build(Build),
    /// Build a program as an image and run it
    #[command(after_help = "All other options of 'cargo run' work too. The exit status is the guest's.", override_usage = RUN)]
    Run(Run),
    /// Build the tests of a project as images and run each
    #[command(after_help = "All other options of 'cargo test' work too.", override_usage = TEST)]
    Test(Run),
    /// Make a new project
    New(New),
}

const RUN: &str = "cargo husk run [OPTIONS] [CARGO OPTIONS] [-- ARGUMENTS OF THE PROGRAM]";
const TEST: &str = "cargo husk test [OPTIONS] [CARGO OPTIONS] [TEST NAME] [-- ARGUMENTS OF THE TESTS]";

/// `cargo husk build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Refused.
    #[arg(long, hide = true)]
    pub target: Option<String>,
    /// Flags of cargo.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// `cargo husk run` and `test`.
#[derive(Debug, Args)]
pub struct Run {
    /// Flags of the tender.
    #[command(flatten)]
    pub guest: Guest,
    /// Flags of cargo.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// Flags that go to `husk run`.
#[derive(Debug, Args)]
pub struct Guest {
    /// Environment variable of the guest; NAME alone passes on its value here; may be repeated. RUST_BACKTRACE,
    /// RUST_LOG and RUST_TEST_THREADS are passed on without
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub environment: Vec<String>,
    /// Set those of a file with a line NAME=VALUE or NAME for each; may be repeated; --env goes before it
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// Guest memory, such as 64M, instead of what the image asks for
    #[arg(short = 'm', long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Refuse an image that asks for more memory; by default, it gets what the package's Cargo.toml asks for
    #[arg(long, value_name = "SIZE|none")]
    pub memory_max: Option<String>,
    /// Run it in a virtual machine or in a process; by default in a machine where there is KVM, or as HUSK_TARGET says
    #[arg(long, value_name = "hvt|spt")]
    pub target: Option<String>,
    /// Refuse a host that protects less than others, such as one without KVM
    #[arg(long)]
    pub strict: bool,
    /// Attach a network, such as user or tap:INTERFACE; may be repeated; see husk run --help
    #[arg(long, value_name = "[NAME=]WIRE")]
    pub net: Vec<String>,
    /// Lead a port of the host, at 127.0.0.1 unless told otherwise, to the guest (-p is cargo's); of UDP with /udp at
    /// its end; may be repeated
    #[arg(long, value_name = "[ADDRESS:]HOST:GUEST")]
    pub publish: Vec<String>,
    /// Where the guest may connect to.
    #[command(flatten)]
    pub rules: Rules,
    /// Ask a peer that is silent for this time whether it is still there, instead of 60s
    #[arg(long, value_name = "TIME|off")]
    pub net_keepalive: Option<String>,
    /// End a connection in which nothing moves for this time, instead of 124m
    #[arg(long, value_name = "TIME|off")]
    pub net_idle: Option<String>,
    /// Let a network send, and receive, so many bytes a second
    #[arg(long, value_name = "[NAME=]RATE[:BURST]")]
    pub net_rate: Vec<String>,
    /// Let a disk read and write so many bytes a second
    #[arg(long, value_name = "[NAME=]RATE[:BURST]")]
    pub block_rate: Vec<String>,
    /// Let a disk carry out so many requests a second
    #[arg(long, value_name = "[NAME=]RATE[:BURST]")]
    pub block_iops: Vec<String>,
    /// How long the guest may take to end after SIGTERM or SIGINT, instead of 10 seconds
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u64>,
    /// Attach a disk, such as data=disk.img; may be repeated; see husk run --help
    #[arg(long, value_name = "[NAME=]FILE[,ro]")]
    pub block: Vec<String>,
    /// How what the guest prints is shown: as it is, or with control characters as text
    #[arg(long, value_name = "raw|escaped")]
    pub console: Option<String>,
    /// Let the guest print so many bytes a second
    #[arg(long, value_name = "RATE[:BURST]")]
    pub console_rate: Option<String>,
    /// Let the guest, the tender included, use so much of a processor, such as 50%
    #[arg(long, value_name = "SHARE")]
    pub cpu_limit: Option<String>,
    /// Have the guest end after this time, such as 90s, as by SIGTERM; exit status 124
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Which features of the processor a std program finds; baseline: x86-64-v2
    #[arg(long, value_name = "host|baseline")]
    pub cpu: Option<String>,
    /// Have the tender go on as this user once everything is open; takes root
    #[arg(long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Record how the run ended, in a line of JSON that the guest cannot forge; see husk run --help
    #[arg(long, value_name = "FILE")]
    pub status_file: Option<String>,
    /// Tell what guest and tender may do, call by call, and do not run it
    #[arg(long)]
    pub explain: bool,
    /// With --explain: print one line of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Have the tender and the libos say more (-v makes cargo say more)
    #[arg(long)]
    pub verbose: bool,
    /// Load the image where it always loads, for debugging
    #[arg(long)]
    pub no_aslr: bool,
}

/// Flags of cargo that decide what is built and where.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = CARGO)]
pub struct Cargo {
    /// Build this package; may be repeated
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
#[derive(Debug, Default, Args)]
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

/// `cargo husk new`.
#[derive(Debug, Args)]
pub struct New {
    /// Folder to make; its last part names the package
    pub path: PathBuf,
    /// A no_std program over the crate 'husk': no libos, a much smaller image
    #[arg(long)]
    pub no_std: bool,
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
