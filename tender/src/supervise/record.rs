//! The line of JSON in a status file: its format, and how it follows from the facts.
//!
//! ```json
//! {"version":1,"target":"hvt","ended":"limit","status":124,"limit":"time","signal":null,"reason":null}
//! ```
//!
//! Facts of the kernel and the supervisor go first: the signal that killed the tender, the deadline, the signals that were
//! passed on. The tender's own testimony counts where the guest cannot forge it: in a virtual machine, and before a guest of
//! spt runs. All other ends count as the guest's.
//!
//! A status of 128 + n after signal n was passed on counts as an end by the signal: for SIGINT and SIGTERM always, for
//! SIGHUP, SIGUSR1 and SIGUSR2 where the tender has no other verdict. In spt that is a guess: a guest that has handled
//! one of these can exit later with that status.

use super::testimony::{Sandbox, Testimony, Verdict};
use crate::host::signals;
use crate::inspect::Value;
use husk_abi::fault::TIME_IS_UP;
use husk_abi::signals::{FORWARDED, STOP, WINDOW_CHANGE, bit};
use std::fmt;

/// Version of the format: raised when a field changes its meaning or is removed; new fields and values do not raise it.
const VERSION: u64 = 1;

/// End of the tender's process, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Exit with this status.
    Exit(u8),
    /// Death by this signal.
    Signal(u8),
}

impl Ended {
    /// Decodes a status of wait(2), with the number that a signal had before it was passed on.
    pub fn of(status: i32) -> Self {
        match libc::WIFEXITED(status) {
            true => Self::Exit(libc::WEXITSTATUS(status) as u8),
            false => Self::Signal(signals::original(libc::WTERMSIG(status)) as u8),
        }
    }

    fn status(self) -> u8 {
        match self {
            Self::Exit(status) => status,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Facts about an end.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The end of the tender's process.
    pub ended: Ended,
    /// Signals that were passed on to the tender: bit n-1 for signal n.
    pub asked: u64,
    /// Time at which the end was noticed, of CLOCK_MONOTONIC.
    pub ended_ns: u64,
    /// Testimony of the tender.
    pub testimony: Testimony,
}

/// Cause of the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The guest, with a status of its choice.
    Guest,
    /// The guest: a crash, or a breach of the contract.
    Fault,
    /// husk, at this limit.
    Limit(Limit),
    /// A signal to husk, which asked for the end.
    Signal(u8),
    /// A signal that ended husk itself, such as SIGKILL.
    Killed(u8),
    /// husk, which could not start the guest, or not continue.
    Error,
}

/// Limit for which husk ends a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `--timeout`.
    Time,
    /// `--memory`.
    Memory,
    /// `--cpu-limit`, from which a guest of spt had escaped.
    Processor,
}

/// End of a run. Displays as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Sandbox that the guest ran in; `None` if it never ran.
    pub sandbox: Option<Sandbox>,
    /// Cause of the end.
    pub cause: Cause,
    /// The exit status of husk.
    pub status: u8,
    /// The line about a fault or an error.
    pub reason: Option<String>,
}

impl Facts {
    /// Returns the record that follows from the facts.
    pub fn record(self) -> Record {
        let (cause, reason) = (self.cause(), self.testimony.verdict.map(|(_, reason)| reason));
        let has_reason = matches!(cause, Cause::Fault | Cause::Error);
        Record {
            sandbox: self.testimony.sandbox,
            cause,
            status: self.ended.status(),
            reason: reason.filter(|reason| has_reason && !reason.is_empty()),
        }
    }

    fn cause(&self) -> Cause {
        let Testimony { sandbox, deadline_ns, exceeded, ref verdict } = self.testimony;
        let is_late = deadline_ns.is_some_and(|deadline_ns| self.ended_ns >= deadline_ns);
        let verdict = verdict.as_ref().map(|(verdict, _)| *verdict);
        let status = match self.ended {
            Ended::Signal(signal) if self.was_asked(signal) => return Cause::Signal(signal),
            Ended::Signal(signal) => {
                let is_kill = i32::from(signal) == libc::SIGKILL;
                return match (exceeded, is_late) {
                    (true, _) if is_kill => Cause::Limit(Limit::Processor),
                    (_, true) if is_kill => Cause::Limit(Limit::Time),
                    _ => Cause::Killed(signal),
                };
            }
            Ended::Exit(status) => status,
        };
        let signal = status.checked_sub(128).filter(|signal| self.was_asked(*signal));
        match (sandbox, verdict, signal) {
            (_, Some(Verdict::Error), _) => Cause::Error,
            // A program asked to stop may end by its own exit; one with handlers for other signals ends on its own account.
            (_, Some(Verdict::Exit), Some(signal)) if STOP.contains(&signal.into()) => Cause::Signal(signal),
            // End by the tender, in the grace period or otherwise; in spt, end by the guest as well.
            (_, None | Some(Verdict::Signal), Some(signal)) => Cause::Signal(signal),
            (None, ..) => Cause::Error,
            (_, Some(Verdict::Exit), _) => Cause::Guest,
            (_, Some(Verdict::Fault), _) => Cause::Fault,
            (_, Some(Verdict::OutOfMemory), _) => Cause::Limit(Limit::Memory),
            (_, Some(Verdict::TimeIsUp), _) => Cause::Limit(Limit::Time),
            // A guest of spt, or one that was ended in its grace period.
            (_, None, _) if is_late && status == TIME_IS_UP => Cause::Limit(Limit::Time),
            (Some(Sandbox::Spt), ..) => Cause::Guest,
            (Some(Sandbox::Hvt), ..) => Cause::Error,
        }
    }

    /// Returns true if this signal was passed on, and is one that ends a guest.
    fn was_asked(&self, signal: u8) -> bool {
        let signal = u32::from(signal);
        FORWARDED.contains(&signal) && signal != WINDOW_CHANGE && self.asked & bit(signal) != 0
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| Value::Text(text.to_owned());
        let (ended, limit, signal) = match self.cause {
            Cause::Guest => ("guest", None, None),
            Cause::Fault => ("fault", None, None),
            Cause::Limit(Limit::Time) => ("limit", Some("time"), None),
            Cause::Limit(Limit::Memory) => ("limit", Some("memory"), None),
            Cause::Limit(Limit::Processor) => ("limit", Some("cpu"), None),
            Cause::Signal(signal) => ("signal", None, Some(signal)),
            Cause::Killed(signal) => ("killed", None, Some(signal)),
            Cause::Error => ("error", None, None),
        };
        let target = self.sandbox.map(|sandbox| match sandbox {
            Sandbox::Hvt => "hvt",
            Sandbox::Spt => "spt",
        });
        Value::Object(vec![
            ("version", Value::Number(VERSION)),
            ("target", target.map_or(Value::Nothing, text)),
            ("ended", text(ended)),
            ("status", Value::Number(self.status.into())),
            ("limit", limit.map_or(Value::Nothing, text)),
            ("signal", signal.map_or(Value::Nothing, |signal| Value::Number(signal.into()))),
            ("reason", self.reason.as_deref().map_or(Value::Nothing, text)),
        ])
        .fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE_NS: u64 = 100;

    fn cause(sandbox: Sandbox, ended: Ended, asked: u64, ended_ns: u64, verdict: Option<Verdict>) -> Cause {
        let verdict = verdict.map(|verdict| (verdict, String::new()));
        let testimony = Testimony { sandbox: Some(sandbox), deadline_ns: Some(DEADLINE_NS), exceeded: false, verdict };
        Facts { ended, asked, ended_ns, testimony }.record().cause
    }

    #[test]
    fn no_status_of_a_guest_is_taken_for_something_else() {
        for status in 0..=255 {
            let ended = Ended::Exit(status);
            assert_eq!(cause(Sandbox::Hvt, ended, 0, 99, Some(Verdict::Exit)), Cause::Guest, "{status}");
            assert_eq!(cause(Sandbox::Spt, ended, 0, 99, None), Cause::Guest, "{status}");
        }
    }

    #[test]
    fn what_the_kernel_and_the_supervisor_know_decides() {
        let asked = bit(15) | bit(WINDOW_CHANGE);
        for sandbox in [Sandbox::Hvt, Sandbox::Spt] {
            let cause = |ended, asked, ended_ns| cause(sandbox, ended, asked, ended_ns, None);
            assert_eq!(cause(Ended::Exit(143), asked, 1), Cause::Signal(15));
            assert_eq!(cause(Ended::Signal(15), asked, 1), Cause::Signal(15));
            assert_eq!(cause(Ended::Signal(9), asked, 1), Cause::Killed(9));
            assert_eq!(cause(Ended::Signal(31), 0, DEADLINE_NS), Cause::Killed(31));
            assert_eq!(cause(Ended::Signal(9), 0, DEADLINE_NS), Cause::Limit(Limit::Time));
            assert_eq!(cause(Ended::Exit(124), 0, DEADLINE_NS), Cause::Limit(Limit::Time));
        }
        for (signal, ended) in [(1, Cause::Guest), (12, Cause::Guest), (15, Cause::Signal(15))] {
            let cause = |verdict| cause(Sandbox::Hvt, Ended::Exit(128 + signal), bit(signal.into()), 1, verdict);
            assert_eq!(cause(Some(Verdict::Exit)), ended);
            assert_eq!(cause(Some(Verdict::Fault)), Cause::Fault);
            assert_eq!((cause(Some(Verdict::Signal)), cause(None)), (Cause::Signal(signal), Cause::Signal(signal)));
        }
        // A change of the window's size is no request to end.
        assert_eq!(cause(Sandbox::Spt, Ended::Exit(128 + WINDOW_CHANGE as u8), asked, 1, None), Cause::Guest);
        let testimony = Testimony { sandbox: Some(Sandbox::Spt), exceeded: true, ..Testimony::default() };
        let facts = |ended| Facts { ended, asked: 0, ended_ns: 1, testimony: testimony.clone() };
        assert_eq!(facts(Ended::Signal(9)).record().cause, Cause::Limit(Limit::Processor));
        assert_eq!(facts(Ended::Exit(0)).record().cause, Cause::Guest);
    }

    #[test]
    fn a_guest_that_never_ran_is_an_error_of_husks() {
        let verdict = Some((Verdict::Error, "no \"image\"\n".to_owned()));
        let testimony = Testimony { verdict, ..Testimony::default() };
        let record = Facts { ended: Ended::Exit(125), asked: 0, ended_ns: 1, testimony }.record();
        let line = r#"{"version":1,"target":null,"ended":"error","status":125,"limit":null,"signal":null,"reason":"no \"image\"\u000a"}"#;
        assert_eq!(record.to_string(), line);
    }

    #[test]
    fn a_reason_is_there_for_faults_and_errors_alone() {
        let record = |verdict| {
            let verdict = Some((verdict, "why".to_owned()));
            let testimony = Testimony { sandbox: Some(Sandbox::Hvt), verdict, ..Testimony::default() };
            Facts { ended: Ended::Exit(139), asked: 0, ended_ns: 1, testimony }.record()
        };
        assert_eq!(record(Verdict::Fault).reason.as_deref(), Some("why"));
        assert_eq!(record(Verdict::Exit).reason, None);
        assert_eq!(record(Verdict::OutOfMemory).cause, Cause::Limit(Limit::Memory));
        assert_eq!(record(Verdict::TimeIsUp).cause, Cause::Limit(Limit::Time));
    }
}
