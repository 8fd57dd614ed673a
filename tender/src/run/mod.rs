//! `husk run`: one image, from file to exit status, in four phases. Everything that has a name is opened
//! (`open`); the guest gets its memory and processor (`populate`); the process gives up what it does not need
//! any more (`confine`); the guest runs and is served (`serve`). Each phase takes the result of the one before,
//! so that none can be left out or come too early.

mod confine;
mod open;
mod populate;
mod reporter;
mod serve;

pub use open::kvm;
pub(crate) use open::{host_files, matched};

use crate::arch::hvt::Cpu;
use crate::confine::User;
use crate::devices::attach::Attachment;
use crate::devices::console;
use crate::devices::mount::Mount;
use crate::error::Error;
use crate::host_files;
use crate::limits::cpu_quota::CpuQuota;
use crate::memory::grant::Grant;
use crate::vm::boot::Program;
use crate::vm::target::Choice;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The image file.
    pub image: PathBuf,
    /// Memory of the guest.
    pub memory: Grant,
    /// Arguments and environment.
    pub program: Program,
    /// True if the base of a relocatable image is drawn at random.
    pub randomize: bool,
    /// Sandbox to run in.
    pub target: Choice,
    /// True to refuse hosts that protect less than Husk can use.
    pub strict: bool,
    /// The devices that are attached.
    pub devices: Vec<Attachment>,
    /// Mounts of disks among them.
    pub mounts: Vec<Mount>,
    /// Time that a guest has to end after the first stop signal, in seconds.
    pub grace_s: u64,
    /// True to print what the guest does.
    pub verbose: bool,
    /// Treatment of the guest's output.
    pub console: console::Options,
    /// Share of a processor that the guest may use.
    pub share: Option<CpuQuota>,
    /// Time that the guest may run.
    pub timeout: Option<Duration>,
    /// Processor that a std program is shown.
    pub cpu: Cpu,
    /// Names of the guest, and files of the host that it sees.
    pub host_files: host_files::Options,
    /// User to change to, once everything is open.
    pub user: Option<User>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image: PathBuf::new(),
            memory: Grant::default(),
            program: Program::default(),
            randomize: true,
            target: Choice::Automatic,
            strict: false,
            devices: vec![],
            mounts: vec![],
            grace_s: 10,
            verbose: false,
            console: console::Options::default(),
            share: None,
            timeout: None,
            cpu: Cpu::Host,
            host_files: host_files::Options::default(),
            user: None,
        }
    }
}

/// Runs an image to its end and returns the exit status. A fault is reported on standard error. The tender `started` at this time.
pub fn run(options: &Options, started: Instant) -> Result<u8, Error> {
    let (inputs, opened) = open::open(options)?;
    let populated = populate::populate(options, &inputs.image, opened)?;
    let ready = confine::confine(options, started, &inputs, populated)?;
    serve::serve(options, &inputs, ready)
}
