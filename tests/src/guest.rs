//! A run of an image: description, and execution within a time limit.

use crate::failing::{self, Failed, Failure, Failures};
use crate::pretence::{self, Pretence, Pretended};
use crate::running::TIMEOUT;
use crate::{Conversation, Outcome, Running, build};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Description of a run. The run starts with [`Guest::run`] or [`Guest::spawn`].
#[derive(Debug)]
pub struct Guest {
    image: PathBuf,
    flags: Vec<OsString>,
    arguments: Vec<OsString>,
    input: Vec<u8>,
    through: Vec<OsString>,
    user: Option<u32>,
    attack: Option<String>,
    delay: Option<String>,
    pauses: Option<u32>,
    timeout: Duration,
    chooses: bool,
}

impl Guest {
    /// Describes a run of the native guest `name` of tests/guests.
    pub fn native(name: &str) -> Self {
        Self::image(build::image("guests", name))
    }

    /// Describes a run of the ordinary program `name` of tests/programs.
    pub fn program(name: &str) -> Self {
        Self::image(build::image("programs", name))
    }

    /// Describes a run of any image file.
    pub fn image(image: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            flags: vec![],
            arguments: vec![],
            input: vec![],
            through: vec![],
            user: None,
            attack: None,
            delay: None,
            pauses: None,
            timeout: TIMEOUT,
            chooses: false,
        }
    }

    /// Adds a flag of `husk run`.
    pub fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Adds an argument of the program.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets the guest's standard input.
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// Starts the tender through another command, which gets the tender's command line as its last arguments.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.through = command.iter().map(OsString::from).collect();
        self
    }

    /// Starts the tender as another user; requires root.
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Lets the tender choose the target, whatever the environment sets.
    pub fn of_any_target(mut self) -> Self {
        self.chooses = true;
        self
    }

    /// Makes a thread of the tender attempt an attack, as if it had been taken over, once it is confined.
    pub fn attack(mut self, thread: &str, attempt: &str) -> Self {
        self.attack = Some(format!("{thread}:{attempt}"));
        self
    }

    /// Makes a thread of the tender wait `milliseconds` before it confines itself.
    pub fn delay(mut self, thread: &str, milliseconds: u64) -> Self {
        self.delay = Some(format!("{thread}:{milliseconds}"));
        self
    }

    /// Has the devices paused so many times while the guest runs.
    pub fn pauses(mut self, pauses: u32) -> Self {
        self.pauses = Some(pauses);
        self
    }

    /// Sets this time limit instead of `TIMEOUT`.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the guest to its end. A run beyond the time limit is killed and fails the test.
    #[track_caller]
    pub fn run(mut self) -> Outcome {
        let input = std::mem::take(&mut self.input);
        self.spawn().input(input).finish()
    }

    /// Starts the guest, with its standard input open; the time limit counts from now.
    pub fn spawn(self) -> Running {
        Running::start(self.image.display().to_string(), self.command(), self.timeout)
    }

    /// Runs the guest with a system call that fails.
    pub fn run_failing(self, failure: Failure) -> Failed {
        failing::run(self.command(), failure)
    }

    /// Runs a guest that publishes a port, with system calls that fail; returns also the number of failures.
    pub fn run_failing_while_serving(self, failures: Failures) -> (Outcome, usize) {
        failing::run_serving(self.command(), failures)
    }

    /// Runs the guest on a host that lacks a feature.
    pub fn run_pretending(self, pretences: &[Pretence]) -> Pretended {
        pretence::run(self.command(), pretences)
    }

    /// Runs the guest, and returns the kinds of system calls that its tender makes.
    pub fn calls(self) -> Vec<Pretence> {
        pretence::calls(self.command())
    }

    /// Starts the guest for a conversation.
    pub fn converse(self) -> Conversation {
        Conversation::with(self.spawn())
    }

    /// Returns the command of the run.
    fn command(&self) -> Command {
        let mut line = self.through.clone();
        let husk = match (&self.attack, &self.delay, self.pauses) {
            (None, None, None) => build::husk(),
            (None, None, Some(_)) => build::pausing_husk(),
            _ => build::attacking_husk(),
        };
        line.extend([husk.into(), "run".into()]);
        line.extend(self.flags.iter().cloned());
        line.extend(["--".into(), self.image.clone().into()]);
        line.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        if let Some(attack) = &self.attack {
            command.env("HUSK_ATTACK", attack);
        }
        if let Some(delay) = &self.delay {
            command.env("HUSK_ATTACK_DELAY", delay);
        }
        if let Some(pauses) = self.pauses {
            command.env("HUSK_PAUSES", pauses.to_string());
        }
        if self.chooses {
            command.env_remove("HUSK_TARGET");
        }
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        command
    }
}
