//! A run on a pretended host that lacks a feature of this one: the system calls that would detect the feature get the results
//! that they have there.

use crate::Outcome;
use crate::tracer::{self, Call, Judge};
use std::collections::BTreeSet;
use std::process::Command;

/// Calls that take a path, and the index of that argument.
const WITH_PATH: [(i64, usize); 10] = [
    (libc::SYS_open, 0),
    (libc::SYS_stat, 0),
    (libc::SYS_lstat, 0),
    (libc::SYS_access, 0),
    (libc::SYS_readlink, 0),
    (libc::SYS_openat, 1),
    (libc::SYS_newfstatat, 1),
    (libc::SYS_faccessat, 1),
    (libc::SYS_readlinkat, 1),
    (libc::SYS_statx, 1),
];

/// A missing feature of a host.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Pretence {
    /// A system call with these arguments, by index, has this result.
    Call { number: i64, arguments: Vec<(usize, u64)>, result: i64 },
    /// Calls with a number above this one do not exist.
    CallsAbove(i64),
    /// Calls with a path that starts with `start` fail with this error.
    Path { start: &'static str, errno: i32 },
    /// An entry of the auxiliary vector has this value.
    Auxiliary { kind: u64, value: u64 },
}

impl Pretence {
    /// Makes every call of this number fail.
    pub fn call(number: i64, errno: i32) -> Self {
        Self::Call { number, arguments: vec![], result: -i64::from(errno) }
    }

    /// Restricts a call to those with this argument, by index.
    #[must_use]
    pub fn with(mut self, index: usize, value: u64) -> Self {
        if let Self::Call { arguments, .. } = &mut self {
            arguments.push((index, value));
        }
        self
    }

    /// Makes a call succeed with this result instead.
    #[must_use]
    pub fn giving(mut self, value: i64) -> Self {
        if let Self::Call { result, .. } = &mut self {
            *result = value;
        }
        self
    }

    /// Returns the pretended result of a call, if this pretence covers it.
    fn result(&self, call: &Call) -> Option<i64> {
        match self {
            Self::Call { number, arguments, result } => {
                // The kernel reads 32 bits of the arguments that these tests name.
                let is = |(index, value): &(usize, u64)| call.arguments[*index] as u32 == *value as u32;
                (call.number == *number && arguments.iter().all(is)).then_some(*result)
            }
            Self::CallsAbove(number) => (call.number > *number).then_some(-i64::from(libc::ENOSYS)),
            Self::Path { start, errno } => {
                let (_, argument) = WITH_PATH.iter().find(|(number, _)| *number == call.number)?;
                call.text(*argument).starts_with(start.as_bytes()).then_some(-i64::from(*errno))
            }
            Self::Auxiliary { .. } => None,
        }
    }
}

/// Result of a run on a pretended host.
#[derive(Debug)]
pub struct Pretended {
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Number of calls with a pretended result.
    pub times: usize,
}

/// Runs `command` on a pretended host.
pub fn run(command: Command, pretences: &[Pretence]) -> Pretended {
    let mut host = Host { pretences, times: 0 };
    let outcome = tracer::run(command, &mut host);
    Pretended { outcome, times: host.times }
}

#[derive(Debug)]
struct Host<'p> {
    pretences: &'p [Pretence],
    times: usize,
}

impl Judge for Host<'_> {
    fn judge(&mut self, call: &Call) -> Option<i64> {
        let result = self.pretences.iter().find_map(|pretence| pretence.result(call))?;
        self.times += 1;
        Some(result)
    }

    fn auxiliary(&self) -> Option<(u64, u64)> {
        self.pretences.iter().find_map(|pretence| match pretence {
            Pretence::Auxiliary { kind, value } => Some((*kind, *value)),
            _ => None,
        })
    }
}

/// Calls with several operations, and the index of the argument that selects one.
const WITH_REQUEST: [(i64, usize); 5] =
    [(libc::SYS_ioctl, 1), (libc::SYS_madvise, 2), (libc::SYS_prctl, 0), (libc::SYS_fcntl, 1), (libc::SYS_socket, 0)];

/// Runs `command`, and returns each kind of call that it makes, as a pretence that the call does not exist.
pub fn calls(command: Command) -> Vec<Pretence> {
    let mut seen = Seen::default();
    tracer::run(command, &mut seen).expect_success();
    let kind = |(number, request): (i64, Option<(usize, u64)>)| {
        let pretence = Pretence::call(number, libc::ENOSYS);
        request.map_or(pretence.clone(), |(index, value)| pretence.with(index, value))
    };
    seen.0.into_iter().map(kind).collect()
}

#[derive(Debug, Default)]
struct Seen(BTreeSet<(i64, Option<(usize, u64)>)>);

impl Judge for Seen {
    fn judge(&mut self, call: &Call) -> Option<i64> {
        let request = WITH_REQUEST.iter().find(|(number, _)| *number == call.number);
        self.0.insert((call.number, request.map(|(_, index)| (*index, call.arguments[*index]))));
        None
    }
}
