//! A running guest: its output so far, signals to its tender, and its end within a time limit.

use crate::eventually::within;
use crate::watch::Watch;
use crate::{Outcome, patience, process};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A started run. Dropping it before its end kills it.
#[derive(Debug)]
pub struct Running {
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    watch: Watch,
    /// Status, after the end.
    status: Option<ExitStatus>,
}

/// Time limit of a run: far longer than any needs on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
/// First words of a report on a guest's threads.
const ASKED: &str = "husk: the guest's threads:";
/// Polling interval.
const LOOK: Duration = Duration::from_millis(1);
/// Time limit for the rest of the output after the end, if another process still has the output open.
const REST: Duration = Duration::from_secs(10);

impl Running {
    /// Starts a command that starts a guest, with its standard input open.
    pub fn of(command: Command) -> Self {
        Self::start(format!("{command:?}"), command, TIMEOUT)
    }

    /// Starts a command with this standard error, which the test reads itself.
    pub fn with_stderr(stderr: impl Into<Stdio>, command: Command) -> Self {
        Self::start_with(stderr.into(), format!("{command:?}"), command, TIMEOUT)
    }

    /// Starts `command`, with a time limit.
    pub(crate) fn start(name: String, command: Command, timeout: Duration) -> Self {
        Self::start_with(Stdio::piped(), name, command, timeout)
    }

    /// Starts a command that inherits standard error, so that its progress is visible.
    pub(crate) fn start_shown(name: String, command: Command, timeout: Duration) -> Self {
        Self::start_with(Stdio::inherit(), name, command, timeout)
    }

    fn start_with(stderr: Stdio, name: String, mut command: Command, timeout: Duration) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdin = child.stdin.take();
        let (stdout, stderr) = (Stream::of(child.stdout.take()), Stream::of(child.stderr.take()));
        let watch = Watch::over(name.clone(), child.id(), patience(timeout));
        Self { started: Some(Started { name, child, stdin, stdout, stderr, watch, status: None }) }
    }

    /// Writes `bytes` to the standard input in the background, and then closes it.
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        if let Some(mut stdin) = self.started.as_mut().and_then(|started| started.stdin.take()) {
            // A guest need not read its input, so a failed write is no error.
            thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        self
    }

    /// Waits until `text` occurs `count` times on standard output.
    #[track_caller]
    pub fn expect_printed(&mut self, text: &str, count: usize) -> &mut Self {
        self.until(&format!("printed {count} times '{text}'"), |started| started.stdout.count(text) >= count)
    }

    /// Waits until standard output has `count` lines; returns the last of them.
    #[track_caller]
    pub fn line(&mut self, count: usize) -> String {
        self.until(&format!("printed {count} lines"), |started| started.stdout.count("\n") >= count);
        let text = self.started.as_ref().map(|started| started.stdout.text()).unwrap_or_default();
        text.lines().nth(count - 1).unwrap_or_default().to_owned()
    }

    /// Waits until `text` occurs `count` times on standard error.
    #[track_caller]
    pub fn expect_told(&mut self, text: &str, count: usize) -> &mut Self {
        self.until(&format!("told {count} times '{text}'"), |started| started.stderr.count(text) >= count)
    }

    /// Returns true if `text` has occurred on standard error.
    pub fn has_told(&self, text: &str) -> bool {
        self.started.as_ref().is_some_and(|started| started.stderr.count(text) > 0)
    }

    /// Requests reports on the threads (SIGQUIT) until one has all these parts, because a thread reaches its wait some time
    /// after its start.
    #[track_caller]
    pub fn ask_until(&mut self, parts: &[&str]) -> &mut Self {
        // A report is written in several pieces.
        const WHOLE: Duration = Duration::from_millis(300);
        for reports in 1.. {
            self.signal("QUIT", 1).expect_told(ASKED, reports);
            let has_all = within(patience(WHOLE), || {
                let told = self.started.as_ref().map(|started| started.stderr.text()).unwrap_or_default();
                let last = told.rsplit(ASKED).next().unwrap_or_default();
                parts.iter().all(|part| last.contains(part)).then_some(())
            });
            if has_all.is_some() {
                break;
            }
        }
        self
    }

    /// Returns the process id of the tender.
    pub fn id(&self) -> u32 {
        self.started.as_ref().map_or(0, |started| started.child.id())
    }

    /// Resident memory of the tender in KiB; `None` if it does not run.
    pub fn resident_kib(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// Anonymous part of the resident memory.
    pub fn anonymous_kib(&self) -> Option<u64> {
        self.status_kib("RssAnon:")
    }

    /// Peak of the resident memory.
    pub fn peak_kib(&self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, name: &str) -> Option<u64> {
        let status = process::status(self.started.as_ref()?.child.id());
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
    }

    /// Processor time of the tender, the guest's included; `None` if it does not run.
    pub fn processor_time(&self) -> Option<Duration> {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.started.as_ref()?.child.id())).ok()?;
        // The name may contain spaces; after it, user and system time are the fields 12 and 13 (proc_pid_stat(5)).
        let (_, fields) = status.rsplit_once(')')?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        const TICK: Duration = Duration::from_millis(10);
        Some(TICK * ticks as u32)
    }

    /// Returns the seccomp mode of each thread of the tender (proc_pid_status(5)).
    pub fn seccomp_modes(&self) -> Vec<String> {
        let Some(started) = &self.started else { return vec![] };
        let threads = std::fs::read_dir(format!("/proc/{}/task", started.child.id())).expect("it runs");
        let mode =
            |status: String| Some(status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().to_owned());
        let statuses = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("status")));
        statuses.flatten().filter_map(mode).collect()
    }

    /// Returns the number of bytes on standard output so far.
    pub fn printed(&self) -> usize {
        self.started.as_ref().map_or(0, |started| lock(&started.stdout.bytes).len())
    }

    /// Writes a line to the standard input, which stays open.
    pub fn say(&mut self, line: &str) -> &mut Self {
        if let Some(stdin) = self.started.as_mut().and_then(|started| started.stdin.as_mut()) {
            let _ = writeln!(stdin, "{line}");
        }
        self
    }

    /// Sends the tender a signal, by name, `times` times.
    pub fn signal(&mut self, name: &str, times: usize) -> &mut Self {
        if let Some(started) = &mut self.started
            && !started.has_ended()
        {
            // The process id stays valid, because the child has not been waited for.
            let line = format!("for i in $(seq {times}); do kill -{name} {} || exit; done", started.child.id());
            let _ = Command::new("sh").args(["-c", &line]).status();
        }
        self
    }

    /// Waits for the end, with the input left open.
    #[track_caller]
    pub fn expect_ended(&mut self) -> &mut Self {
        self.until("ended", Started::has_ended)
    }

    /// Closes the input and waits for the end.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        if let Some(started) = &mut self.started {
            started.stdin = None;
        }
        self.until("ended", Started::has_ended);
        let mut started = self.started.take().expect("it has not been finished before");
        let status = started.status.expect("it has ended");
        Outcome::of(Output {
            status,
            stdout: started.stdout.whole(&started.name),
            stderr: started.stderr.whole(&started.name),
        })
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Started) -> bool) -> &mut Self {
        let started = self.started.as_mut().expect("it has not been finished before");
        while !done(started) {
            // Output may still be in the pipes until they are closed.
            let is_over = started.has_ended() && started.stdout.is_over() && started.stderr.is_over();
            if is_over && !done(started) {
                panic!("{} has ended and not {what}: {:?}{}", started.name, started.status, started.text());
            }
            if started.watch.is_late() {
                panic!("{} has not {what} in time{}", started.name, started.text());
            }
            thread::sleep(LOOK);
        }
        self
    }
}

impl Started {
    fn has_ended(&mut self) -> bool {
        let child = &mut self.child;
        let status = self.status.or_else(|| self.watch.ended(|| child.try_wait().expect("it is our child")));
        self.status = status;
        // A run that was killed at its time limit has not ended by itself.
        status.is_some() && !self.watch.is_late()
    }

    /// Returns the output so far.
    fn text(&self) -> String {
        format!("\n--- stdout\n{}--- stderr\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both calls are harmless after the end.
        let _ = self.child.kill();
        let child = &mut self.child;
        self.watch.ended(|| child.wait().ok());
        self.watch.leave();
    }
}

/// Output that a thread collects.
#[derive(Debug)]
pub(crate) struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    /// Collects the output of `pipe`, if there is one.
    pub(crate) fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut part = [0; 1 << 16];
            let Some(mut pipe) = pipe else { return };
            while let Ok(count @ 1..) = pipe.read(&mut part) {
                lock(&gathered).extend_from_slice(&part[..count]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }

    fn count(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }

    fn is_over(&self) -> bool {
        self.reader.is_finished()
    }

    /// Returns all of the output, once the pipe is closed.
    pub(crate) fn whole(&mut self, name: &str) -> Vec<u8> {
        let deadline = Instant::now() + patience(REST);
        while !self.is_over() {
            assert!(Instant::now() < deadline, "{name} has left a process that has its output open\n{}", self.text());
            thread::sleep(LOOK);
        }
        std::mem::take(&mut lock(&self.bytes))
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}
