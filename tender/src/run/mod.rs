//! `husk run`: one image, from file to exit status, in four phases. Everything that has a name is opened ([`open`]); the guest
//! gets its memory and processor ([`populate`]); the process gives up what it does not need any more ([`confine`]); the guest
//! runs and is served ([`serve`]). Each phase takes what the one before has made, so none can be left out or come too early.

mod confine;
mod open;
mod populate;
mod reporter;
mod serve;

pub use open::kvm;
pub(crate) use open::matched;

use crate::boot::Program;
use crate::confine::User;
use crate::devices::attach::Attachment;
use crate::devices::console;
use crate::error::Error;
use crate::grant::Grant;
use crate::hvt::Cpu;
use crate::share::Share;
use crate::target::Choice;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image file.
    pub image: PathBuf,
    /// How much memory the guest gets.
    pub memory: Grant,
    /// Arguments and environment.
    pub program: Program,
    /// Whether the base of a relocatable image is drawn at random.
    pub randomize: bool,
    /// What it is to run in.
    pub target: Choice,
    /// Refuse hosts that protect less than Husk can use.
    pub strict: bool,
    /// The devices that are attached.
    pub devices: Vec<Attachment>,
    /// How long a guest may take to end when it has been told to, in seconds.
    pub grace_s: u64,
    /// Whether to tell what the guest does.
    pub verbose: bool,
    /// How the guest's output is treated.
    pub console: console::Options,
    /// Which share of a processor the guest may use.
    pub share: Option<Share>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Which processor a std program is shown.
    pub cpu: Cpu,
    /// Whom to go on as, once everything is open.
    pub user: Option<User>,
    /// When the tender began.
    pub started: Instant,
}

/// Runs an image to its end and returns the exit status. A fault is reported on standard error.
pub fn run(options: &Options) -> Result<u8, Error> {
    let opened = open::open(options)?;
    let populated = populate::populate(options, opened)?;
    let confined = confine::confine(options, populated)?;
    serve::serve(options, confined)
}
