//! A guest that runs: what it has printed so far, signals to its tender, and its end within a bounded time.

use crate::{Outcome, patience};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A run that was started. It is killed if the test drops it before it has ended.
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
    deadline: Instant,
}

/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(1);

impl Running {
    /// Takes over a process whose streams are pipes and that is to end within `timeout`.
    pub(crate) fn new(name: String, mut child: Child, timeout: Duration) -> Self {
        let stdin = child.stdin.take();
        let stdout = Stream::of(child.stdout.take().expect("piped"));
        let stderr = Stream::of(child.stderr.take().expect("piped"));
        let deadline = Instant::now() + patience(timeout);
        Self { started: Some(Started { name, child, stdin, stdout, stderr, deadline }) }
    }

    /// Writes to its standard input from now on, and closes that afterwards.
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        if let Some(mut stdin) = self.started.as_mut().and_then(|started| started.stdin.take()) {
            // A guest need not read its input; that it stops early is not the writer's failure.
            thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        self
    }

    /// Waits until it has printed `text` to standard output `count` times.
    #[track_caller]
    pub fn expect_printed(&mut self, text: &str, count: usize) -> &mut Self {
        self.until(&format!("printed {count} times '{text}'"), |started| started.stdout.count(text) >= count)
    }

    /// Waits until `text` was printed to standard error `count` times.
    #[track_caller]
    pub fn expect_told(&mut self, text: &str, count: usize) -> &mut Self {
        self.until(&format!("told {count} times '{text}'"), |started| started.stderr.count(text) >= count)
    }

    /// Resident memory of its tender in KiB; nothing if it does not run.
    pub fn resident_kib(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// The most that it has had.
    pub fn peak_kib(&self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.started.as_ref()?.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
    }

    /// Processor time of its tender, the guest's included; nothing if it does not run.
    pub fn processor_time(&self) -> Option<Duration> {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.started.as_ref()?.child.id())).ok()?;
        // After the name, which may have spaces in it, user and system time are the fields 12 and 13 (proc_pid_stat(5)).
        let (_, fields) = status.rsplit_once(')')?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        const TICK: Duration = Duration::from_millis(10);
        Some(TICK * ticks as u32)
    }

    /// The seccomp mode of each thread of its tender (proc_pid_status(5)).
    pub fn seccomp_modes(&self) -> Vec<String> {
        let Some(started) = &self.started else { return vec![] };
        let threads = std::fs::read_dir(format!("/proc/{}/task", started.child.id())).expect("it runs");
        let mode =
            |status: String| Some(status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().to_owned());
        let statuses = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("status")));
        statuses.flatten().filter_map(mode).collect()
    }

    /// How many bytes it has printed to standard output.
    pub fn printed(&self) -> usize {
        self.started.as_ref().map_or(0, |started| lock(&started.stdout.bytes).len())
    }

    /// Writes a line to its standard input, which stays open.
    pub fn say(&mut self, line: &str) -> &mut Self {
        if let Some(stdin) = self.started.as_mut().and_then(|started| started.stdin.as_mut()) {
            let _ = writeln!(stdin, "{line}");
        }
        self
    }

    /// Sends its tender a signal, by name and as often as said.
    pub fn signal(&mut self, name: &str, times: usize) -> &mut Self {
        if let Some(started) = &self.started {
            // The process is ours until `finish` has waited for it, so its number is, too.
            let line = format!("for i in $(seq {times}); do kill -{name} {} || exit; done", started.child.id());
            let _ = Command::new("sh").args(["-c", &line]).status();
        }
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        if let Some(started) = &mut self.started {
            started.stdin = None;
        }
        self.until("ended", |started| started.child.try_wait().expect("it is our child").is_some());
        let Some(mut started) = self.started.take() else { return Outcome::skipped() };
        let status = started.child.wait().expect("it is our child");
        Outcome::of(Output { status, stdout: started.stdout.whole(), stderr: started.stderr.whole() })
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Started) -> bool) -> &mut Self {
        let Some(started) = &mut self.started else { return self };
        while !done(started) {
            if Instant::now() > started.deadline {
                let (stdout, stderr) = (started.stdout.text(), started.stderr.text());
                panic!("{} has not {what} in time\n--- stdout\n{stdout}--- stderr\n{stderr}", started.name);
            }
            thread::sleep(LOOK);
        }
        self
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Neither has anything to do if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Output that is gathered as it comes.
#[derive(Debug)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut part = [0; 1 << 16];
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

    fn whole(&mut self) -> Vec<u8> {
        while !self.reader.is_finished() {
            thread::sleep(LOOK);
        }
        std::mem::take(&mut lock(&self.bytes))
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}
