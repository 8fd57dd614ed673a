//! A run of which one system call fails as it does on a host that has not enough of something: found by its number in the
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
    /// Which, counted from 0 after the C library's start; those that cannot fail do not count.
    pub nth: usize,
    /// How.
    pub errno: i32,
}

/// What came of it.
#[derive(Debug)]
pub struct Failed {
    /// The end of the run.
    pub outcome: Outcome,
    /// The number of the call, unless there were fewer.
    pub call: Option<i64>,
}

/// Runs `command` with this failure.
pub fn run(command: Command, failure: Failure) -> Failed {
    let mut counter = Counter { failure, count: 0, call: None };
    let outcome = tracer::run(command, &mut counter);
    Failed { outcome, call: counter.call }
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
