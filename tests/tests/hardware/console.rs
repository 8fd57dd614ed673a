//! Console of a machine: reports on the tests that it runs, and their results.

use crate::emulator::Emulated;
use crate::plan::Plan;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

/// Number of last console lines that are kept, for a machine that fails.
const LAST: usize = 30;

/// Most failed tests that are run again: on a busy host, one in some hundred misses its time limit.
const RETRIES: usize = 3;

/// Results of a machine.
#[derive(Debug, Default)]
pub struct Summary {
    /// Number of tests.
    all: usize,
    passed: HashSet<String>,
    failed: HashSet<String>,
    /// Tests that have failed once and are run again.
    again: HashSet<String>,
    /// Tests that were started and have not ended.
    running: HashMap<String, Instant>,
    /// Lines that are not about tests.
    last: Vec<String>,
    is_done: bool,
}

impl Summary {
    /// Results of a machine that has not been started yet. Prints the tests that are skipped.
    pub fn new(plan: &Plan) -> Self {
        for (test, reason) in &plan.skipped {
            print(&format!("skipped: {test}, as {reason}"));
        }
        Self { all: plan.tests.len(), ..Self::default() }
    }

    /// Follows a machine until it has run all of its tests, stands still or ends, and prints each result as it comes.
    pub fn follow(&mut self, mut machine: Emulated) {
        let (name, started) = (machine.machine, Instant::now());
        self.running.clear();
        print(&format!("{name}: {} of {} tests left", self.all - self.passed.len() - self.failed.len(), self.all));
        while !self.is_done {
            let Some(line) = machine.line() else {
                return print(&format!("{name} stands still, or has ended: {self}\n{}", machine.log()));
            };
            if let Some(told) = self.take(&line) {
                print(&format!("{name} {:6.1} s {told}", started.elapsed().as_secs_f64()));
            }
        }
    }

    /// Returns true if the machine has reached the end of its tests.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Returns true if this test has ended.
    pub fn has(&self, executable: &str, name: &str) -> bool {
        let test = format!("{executable}::{name}");
        self.passed.contains(&test) || self.failed.contains(&test)
    }

    /// Forgets the results of tests that have failed for the first time, unless they are many. Returns true if there are any.
    pub fn retry(&mut self) -> bool {
        if self.failed.is_empty() || self.failed.len() > RETRIES || !self.again.is_empty() {
            return false;
        }
        self.again = std::mem::take(&mut self.failed);
        self.is_done = false;
        true
    }

    /// Takes a line of the console; returns a message for the user, if any.
    fn take(&mut self, line: &str) -> Option<String> {
        let Some((word, rest)) = line.strip_prefix('@').map(|line| line.split_once(' ').unwrap_or((line, ""))) else {
            self.last.push(line.to_owned());
            if self.last.len() > LAST {
                self.last.remove(0);
            }
            return None;
        };
        match word {
            "start" => {
                self.running.insert(rest.to_owned(), Instant::now());
                None
            }
            "end" => {
                let (status, test) = rest.split_once(' ')?;
                let took = self.running.remove(test).map_or(Duration::ZERO, |started| started.elapsed());
                if status == "0" {
                    self.passed.insert(test.to_owned());
                    return Some(format!("ok {test} ({:.1} s)", took.as_secs_f64()));
                }
                self.failed.insert(test.to_owned());
                Some(format!("FAILED {test} (status {status}, {:.1} s)", took.as_secs_f64()))
            }
            "alive" => None,
            "done" => {
                self.is_done = true;
                None
            }
            _ => Some(format!("{word} {rest}")),
        }
    }

    /// Returns true if every test ran, and passed.
    pub fn is_good(&self) -> bool {
        self.is_done && self.failed.is_empty() && self.passed.len() == self.all && self.all > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} passed, {} failed", self.passed.len(), self.all, self.failed.len())?;
        for test in &self.failed {
            write!(f, "\n  failed: {test}")?;
        }
        for test in &self.again {
            write!(f, "\n  failed the first time: {test}")?;
        }
        if !self.is_done {
            f.write_str("\nthe machine stood still or ended; the tests that it ran then:")?;
            for (test, started) in &self.running {
                write!(f, "\n  {test}, for {:.0} s", started.elapsed().as_secs_f64())?;
            }
            f.write_str("\nwhat it has printed last:")?;
            for line in &self.last {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

/// Prints a line past the capture of libtest, because a run takes minutes.
fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
