//! The bound of a run: when it passes, whoever waits learns what the guest was doing, and the run is ended.
//!
//! A thread of its own watches, so that it makes no difference what the test waits for meanwhile: the guest's output, its
//! end, a socket. A test that still waits some time after its guest was ended takes the whole test process with it.

#![expect(unsafe_code, reason = "sends signals")]

use crate::patience;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The executable that prints a report on SIGQUIT.
const TENDER: &str = "husk";
/// How long a report may take.
const REPORT: Duration = Duration::from_secs(3);
/// How long a test may wait for something else after its run was ended.
const AFTERWARDS: Duration = Duration::from_secs(90);

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// It was ended as its time was up.
    Late,
    /// It is none of the watch's business any more.
    Over,
}

/// The watch over a run.
#[derive(Clone, Debug)]
pub struct Watch(Arc<(Mutex<State>, Condvar)>);

impl Watch {
    /// Watches the process `id`, a child that nobody waits for without [`Watch::ended`].
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
        // The state stays locked: the child cannot be waited for, so its number is its own.
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

    /// Whether the time was up.
    pub fn is_late(&self) -> bool {
        *self.lock() == State::Late
    }

    /// Looks whether the child has ended, by `wait`; if it has, the watch is over.
    pub fn ended<T>(&self, wait: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        let ended = wait();
        if ended.is_some() && *state == State::Runs {
            *state = State::Over;
            self.0.1.notify_all();
        }
        ended
    }

    /// The test does not wait any more.
    pub fn leave(&self) {
        *self.lock() = State::Over;
        self.0.1.notify_all();
    }
}

/// Programs that children of a bench are while something is built, which has a bound of its own, or load the machine for as long
/// as the bench likes.
const ENDLESS: [&str; 3] = ["cargo", "rustc", "sh"];
/// Time between two looks at the children of a bench: rare enough to disturb no measurement.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the children of this process from now on, and ends the process, with what they are doing, when one has run for longer
/// than `timeout`: for benches, whose waits for a guest are measured and so as plain as can be.
pub fn over_children(timeout: Duration) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(move || {
            let mut since = HashMap::new();
            loop {
                thread::sleep(LOOK);
                let measured = own_children().into_iter().filter(|id| !ENDLESS.contains(&command(*id).as_str()));
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

/// Prints past the capture of test output.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Has all tenders among the process `id` and its descendants report what their guests do, then kills all of them. Returns
/// what the kernel says of each of their threads.
fn end(id: u32) -> String {
    for process in family(id).into_iter().filter(|id| command(*id) == TENDER) {
        signal(process, libc::SIGQUIT);
    }
    thread::sleep(patience(REPORT));
    let processes = family(id);
    let told = processes.iter().map(|id| threads(*id)).collect();
    for process in processes {
        signal(process, libc::SIGKILL);
    }
    told
}

fn signal(id: u32, signal: i32) {
    // SAFETY: has no conditions. The process is a child of ours or a descendant that was there a moment ago.
    unsafe { libc::kill(id as i32, signal) };
}

fn command(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// The process `id`, its children, and theirs.
fn family(id: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let status = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may have anything in it: the state, then the parent (proc_pid_stat(5)).
        let parent = status.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(process);
    }
    let mut family = vec![id];
    let mut next = 0;
    while next < family.len() {
        family.extend(children.remove(&family[next]).unwrap_or_default());
        next += 1;
    }
    family
}

/// The children of all threads of this process.
fn own_children() -> Vec<u32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// A line for each thread of the process `id`: its name, its state, and where in the kernel it waits.
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
    use crate::run_briefly;
    use std::process::Command;

    #[test]
    #[ignore = "run by the next test, whose process it ends"]
    fn measures_what_does_not_end() {
        over_children(Duration::from_millis(100));
        let _ = Command::new("sleep").arg("600").status();
        // What this process does then makes no difference.
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
