//! The time limit of a run: when it passes, the state of the guest is printed, and the run is killed.
//!
//! A thread of its own watches, so that the limit holds whatever the test waits for: the guest's output, its end, a socket. A
//! test that still waits some time after its guest was killed ends with the whole test process.

use crate::patience;
use crate::process::{Handle, children, parent};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Name of the executable that prints a report on SIGQUIT.
const TENDER: &str = "husk";
/// Time limit of a report.
const REPORT: Duration = Duration::from_secs(3);
/// Time that a test may wait for another event after its run was killed.
const AFTERWARDS: Duration = Duration::from_secs(90);

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// The run was killed at its time limit.
    Late,
    /// The watch has ended.
    Over,
}

/// Watch over a run.
#[derive(Clone, Debug)]
pub struct Watch(Arc<(Mutex<State>, Condvar)>);

impl Watch {
    /// Watches the process `id`, a child that is waited for only through [`Watch::ended`].
    pub fn over(name: String, id: u32, timeout: Duration) -> Self {
        let watch = Self(Arc::new((Mutex::new(State::Runs), Condvar::new())));
        let watched = watch.clone();
        thread::spawn(move || watched.follow(&name, id, timeout));
        watch
    }

    fn follow(&self, name: &str, id: u32, timeout: Duration) {
        let mut state = self.wait_while(self.lock(), State::Runs, timeout);
        if *state != State::Runs {
            return;
        }
        // The state stays locked, so the child cannot be waited for meanwhile.
        let told = end(id);
        say(&format!("\n*** {name} has not ended within {timeout:?} and was killed ***\n{told}\n"));
        *state = State::Late;
        if *self.wait_while(state, State::Late, patience(AFTERWARDS)) == State::Late {
            say(&format!(
                "\n*** the test of {name} waits for something else than that: so much for this process ***\n"
            ));
            std::process::exit(101);
        }
    }

    fn wait_while<'a>(&self, state: MutexGuard<'a, State>, value: State, timeout: Duration) -> MutexGuard<'a, State> {
        let waited = self.0.1.wait_timeout_while(state, timeout, |state| *state == value);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the time limit has passed.
    pub fn is_late(&self) -> bool {
        *self.lock() == State::Late
    }

    /// Checks by `wait` whether the child has ended; if it has, the watch ends.
    pub fn ended<T>(&self, wait: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        let ended = wait();
        if ended.is_some() && *state == State::Runs {
            *state = State::Over;
            self.0.1.notify_all();
        }
        ended
    }

    /// Ends the watch, because the test does not wait any more.
    pub fn leave(&self) {
        *self.lock() = State::Over;
        self.0.1.notify_all();
    }
}

/// Programs that run as a bench's children without this limit: builds, which have a limit of their own, and loads that run as
/// long as the bench.
const ENDLESS: [&str; 3] = ["cargo", "rustc", "sh"];
/// Interval of checks of a bench's children: rare enough to disturb no measurement.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the children of this process from now on. When one has run for longer than `timeout`, prints its state and ends the
/// process: for benches, which measure their waits for a guest and so keep them plain.
pub fn over_children(timeout: Duration) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(move || {
            let mut since = HashMap::new();
            loop {
                thread::sleep(LOOK);
                let measured =
                    children(std::process::id()).into_iter().filter(|id| !ENDLESS.contains(&command(*id).as_str()));
                since = measured.map(|id| (id, since.get(&id).copied().unwrap_or_else(Instant::now))).collect();
                if let Some((id, _)) = since.iter().find(|(_, since)| since.elapsed() > timeout) {
                    let name = command(*id);
                    say(&format!(
                        "\n*** process {id} ({name}) has run for {timeout:?} and was killed ***\n{}\n",
                        end(*id)
                    ));
                    std::process::exit(101);
                }
            }
        });
    });
}

/// Prints to standard error, bypassing the capture of test output.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Makes all tenders among the child `id` and its descendants report on their guests, then kills all of them. Returns the
/// kernel's information about each of their threads.
fn end(id: u32) -> String {
    for (_, tender) in family(id).into_iter().filter(|(id, _)| command(*id) == TENDER) {
        tender.signal(libc::SIGQUIT);
    }
    thread::sleep(patience(REPORT));
    let processes = family(id);
    let told = processes.iter().map(|(id, _)| threads(*id)).collect();
    for (_, process) in processes {
        process.signal(libc::SIGKILL);
    }
    told
}

fn command(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Returns the child `id` of this process, if it has not been waited for, and all its descendants.
fn family(id: u32) -> Vec<(u32, Handle)> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::from([(std::process::id(), vec![id])]);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(parent) = parent(process).filter(|parent| *parent != std::process::id()) else { continue };
        children.entry(parent).or_default().push(process);
    }
    let mut parents = vec![std::process::id()];
    let mut family = vec![];
    while let Some(member) = parents.pop() {
        for child in children.remove(&member).unwrap_or_default() {
            // The parent is read again behind the handle: another process may have got the number by then.
            if let Some(handle) = Handle::open(child).filter(|_| parent(child) == Some(member)) {
                family.push((child, handle));
                parents.push(child);
            }
        }
    }
    family
}

/// Returns a line for each thread of the process `id`: its name, its state, and its wait channel in the kernel.
fn threads(id: u32) -> String {
    let line = |entry: fs::DirEntry| {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default().trim().to_owned();
        let (name, place) = (read("comm"), read("wchan"));
        format!("process {id} ({}), thread '{}': {state} {place}\n", command(id), name.trim_end())
    };
    fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eventually, run_briefly};
    use std::process::Command;

    #[test]
    fn only_a_child_and_its_descendants_are_ended() {
        let mut shell = Command::new("sh").args(["-c", "sleep 600; exit 1"]).spawn().expect("a shell");
        let sleep = eventually("the shell starts sleep", || children(shell.id()).pop());
        let found: Vec<u32> = family(shell.id()).into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, [shell.id(), sleep]);
        // The shell's child is none of ours, and a number of no process belongs to nothing.
        assert!(family(sleep).is_empty() && family(u32::MAX >> 1).is_empty());
        let told = end(shell.id());
        assert!(told.contains("(sh)") && told.contains("(sleep)"), "{told}");
        assert_eq!(shell.wait().expect("our child").code(), None);
        assert!(family(shell.id()).is_empty());
    }

    #[test]
    #[ignore = "run by the next test, whose process it ends"]
    fn measures_what_does_not_end() {
        over_children(Duration::from_millis(100));
        let _ = Command::new("sleep").arg("600").status();
        // The watch ends this process, whatever the process does.
        loop {
            thread::park();
        }
    }

    #[test]
    fn a_bench_ends_when_what_it_measures_does_not() {
        let mut tests = Command::new(std::env::current_exe().expect("a test"));
        let outcome = run_briefly(tests.args(["--ignored", "--exact", "watch::tests::measures_what_does_not_end"]));
        outcome.expect_status(101).expect_stderr("(sleep) has run for 100ms and was killed");
        outcome.expect_stderr("thread 'sleep'");
    }
}
