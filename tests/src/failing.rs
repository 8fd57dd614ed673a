//! A run of which one system call fails as on a host that is short of a resource; the call is selected by its position in the
//! order of calls.

use crate::Outcome;
use crate::tracer::{self, Call, Judge};
use std::process::Command;

/// Calls that do not fail, or not in such ways.
const SURE: [i64; 7] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_rt_sigprocmask,
];

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Position of the call, counted from 0 after the C library's start; calls that cannot fail do not count.
    pub nth: usize,
    /// Error of the call.
    pub errno: i32,
}

/// Result of a run with a failure.
#[derive(Debug)]
pub struct Failed {
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Number of the failed call, unless the run made fewer calls.
    pub call: Option<i64>,
}

/// Runs `command` with this failure.
pub fn run(command: Command, failure: Failure) -> Failed {
    let mut counter = Counter { failure, count: 0, call: None };
    let outcome = tracer::run(command, &mut counter);
    Failed { outcome, call: counter.call }
}

/// Calls of one kind that fail once the guest runs.
#[derive(Clone, Copy, Debug)]
pub struct Failures {
    /// Number of the call.
    pub call: i64,
    /// Error of the calls.
    pub errno: i32,
    /// Number of calls that fail, the first ones.
    pub times: usize,
}

/// Runs `command`, which publishes a port, with these failures; returns also the number of failures.
pub fn run_serving(command: Command, failures: Failures) -> (Outcome, usize) {
    let mut serving = Serving { failures, is_published: false, count: 0 };
    let outcome = tracer::run(command, &mut serving);
    (outcome, serving.count)
}

#[derive(Debug)]
struct Serving {
    failures: Failures,
    is_published: bool,
    count: usize,
}

impl Judge for Serving {
    fn judge(&mut self, call: &Call) -> Option<i64> {
        // First words of the tender's last message before the guest runs.
        const PUBLISHED: &[u8] = b"husk: TCP port ";
        if !self.is_published {
            self.is_published = call.number == libc::SYS_write && call.text(1).starts_with(PUBLISHED);
            return None;
        }
        let fails = call.number == self.failures.call && self.count < self.failures.times;
        self.count += usize::from(fails);
        fails.then_some(-i64::from(self.failures.errno))
    }
}

#[derive(Debug)]
struct Counter {
    failure: Failure,
    count: usize,
    call: Option<i64>,
}

impl Judge for Counter {
    fn judge(&mut self, call: &Call) -> Option<i64> {
        if SURE.contains(&call.number) {
            return None;
        }
        let is_it = self.count == self.failure.nth;
        self.count += 1;
        if is_it {
            self.call = Some(call.number);
        }
        is_it.then_some(-i64::from(self.failure.errno))
    }
}
