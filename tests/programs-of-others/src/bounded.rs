//! Commands with bounds: of time, and of what they print.

use crate::Result;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Bytes of output that are kept.
const OUTPUT_LIMIT: u64 = 4 << 20;
/// Time between looks at a child.
const PAUSE: Duration = Duration::from_millis(20);

/// How a command ended, and what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; None if it was ended after its time.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

/// A command that runs.
#[derive(Debug)]
pub struct Bounded {
    child: Child,
    streams: [JoinHandle<Vec<u8>>; 2],
}

impl Bounded {
    /// Starts a command in a process group of its own.
    pub fn start(command: &mut Command, input: &str) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
        let (output, errors) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let mut to = child.stdin.take().expect("piped");
        let input = input.to_owned();
        // A program need not read its input.
        thread::spawn(move || drop(to.write_all(input.as_bytes())));
        Ok(Self { child, streams: [thread::spawn(move || kept(output)), thread::spawn(move || kept(errors))] })
    }

    /// Returns true if the command has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the command itself.
    pub fn signal(&self, name: &str) {
        // The number is valid as long as nothing has waited for the child.
        let _ = Command::new("kill").args(["-s", name, "--", &self.child.id().to_string()]).status();
    }

    /// Waits for the command's end, and ends it with all that it has started after this time.
    pub fn end(mut self, limit: Duration) -> Ended {
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < limit {
            sleep(PAUSE);
        }
        let status = self.child.try_wait().ok().flatten();
        if status.is_none() {
            let _ = Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", self.child.id())]).status();
            let _ = self.child.wait();
        }
        let [output, errors] = self.streams.map(|stream| {
            let bytes = stream.join().unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ended { status, output, errors }
    }
}

/// Reads a stream to its end, and returns its first bytes.
fn kept(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_ended() {
        let sleep = Bounded::start(Command::new("sleep").arg("60"), "").expect("starts");
        assert_eq!(sleep.end(Duration::from_millis(50)).status, None);
        let cat = Bounded::start(&mut Command::new("cat"), "text").expect("starts");
        let ended = cat.end(Duration::from_secs(60));
        assert!(ended.status.is_some_and(|status| status.success()));
        assert_eq!(ended.output, "text");
    }
}
