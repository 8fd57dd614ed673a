//! One run of an image, described and carried out within a bounded time.

use crate::{Outcome, build, requires};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A run to be made. Nothing happens before [`Guest::run`].
#[derive(Debug)]
pub struct Guest {
    image: PathBuf,
    flags: Vec<OsString>,
    arguments: Vec<OsString>,
    input: Vec<u8>,
    through: Vec<OsString>,
    user: Option<u32>,
    timeout: Duration,
}

impl Guest {
    /// The native guest `name` of tests/guests.
    pub fn native(name: &str) -> Self {
        Self::image(build::image("guests", name))
    }

    /// The ordinary program `name` of tests/programs.
    pub fn program(name: &str) -> Self {
        Self::image(build::image("programs", name))
    }

    /// Any image file.
    pub fn image(image: impl Into<PathBuf>) -> Self {
        let timeout = Duration::from_secs(60);
        Self {
            image: image.into(),
            flags: vec![],
            arguments: vec![],
            input: vec![],
            through: vec![],
            user: None,
            timeout,
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

    /// What it finds on its standard input.
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// Starts the tender through another command, which gets the tender's command line as its last arguments.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.through = command.iter().map(OsString::from).collect();
        self
    }

    /// Starts the tender as another user; takes root.
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Runs it to its end. A run that takes longer than a minute is ended and fails the test.
    pub fn run(self) -> Outcome {
        if !requires::kvm() {
            return Outcome::skipped();
        }
        let mut line = self.through.clone();
        line.extend([build::husk().into(), "run".into()]);
        line.extend(self.flags.iter().cloned());
        line.push(self.image.clone().into());
        line.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the tender starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = self.input;
        // A guest need not read its input; that it stops early is not the writer's failure.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let id = child.id();
        let reader = std::thread::spawn(move || child.wait_with_output());
        let deadline = Instant::now() + self.timeout;
        while !reader.is_finished() {
            if Instant::now() > deadline {
                let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
                panic!("{} did not end within {:?}", self.image.display(), self.timeout);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        writer.join().expect("the writer does not panic");
        Outcome::of(reader.join().expect("the reader does not panic").expect("its output can be read"))
    }
}
