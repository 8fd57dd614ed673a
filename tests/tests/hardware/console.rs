//! What a machine says on its console about the tests that it runs, and what comes of it.

use crate::emulator::Emulated;
use crate::plan::Plan;
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

/// How many of the last lines of a console are kept, for a machine that does not do what it should.
const LAST: usize = 30;

/// The results of a machine.
#[derive(Debug, Default)]
pub struct Summary {
    passed: usize,
    failed: Vec<String>,
    /// Tests that were started and have not ended.
    running: HashMap<String, Instant>,
    /// Tests that are to be run and have not been started yet.
    left: usize,
    /// Lines that are not about tests.
    last: Vec<String>,
    is_done: bool,
}

impl Summary {
    /// Follows the machine to its end, and prints each result as it comes.
    pub fn of(mut machine: Emulated, plan: &Plan) -> Self {
        let mut summary = Self { left: plan.tests.len(), ..Self::default() };
        let started = Instant::now();
        print(&format!("{}: {} tests", machine.machine, plan.tests.len()));
        for (test, reason) in &plan.skipped {
            print(&format!("{} skips {test}: {reason}", machine.machine));
        }
        while !summary.is_done {
            let Some(line) = machine.line() else { break };
            if let Some(told) = summary.take(&line) {
                print(&format!("{} {:6.1} s {told}", machine.machine, started.elapsed().as_secs_f64()));
            }
        }
        summary
    }

    /// Takes a line of the console; returns what a person is to read about it.
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
                self.left = self.left.saturating_sub(1);
                None
            }
            "end" => {
                let (status, test) = rest.split_once(' ')?;
                let took = self.running.remove(test).map_or(Duration::ZERO, |started| started.elapsed());
                if status == "0" {
                    self.passed += 1;
                    return Some(format!("ok {test} ({:.1} s)", took.as_secs_f64()));
                }
                self.failed.push(test.to_owned());
                Some(format!("FAILED {test} (status {status}, {:.1} s)", took.as_secs_f64()))
            }
            "done" => {
                self.is_done = true;
                None
            }
            _ => Some(format!("{word} {rest}")),
        }
    }

    /// Whether every test ran, and passed.
    pub fn is_good(&self) -> bool {
        self.is_done && self.failed.is_empty() && self.running.is_empty() && self.left == 0 && self.passed > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} not run", self.passed, self.failed.len(), self.left)?;
        for test in &self.failed {
            write!(f, "\n  failed: {test}")?;
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

/// Prints a line past the capture of libtest: a run takes minutes.
fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
