//! The outcome of a run, and a test's expectations of it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// End of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process exited with this status.
    Exit(i32),
    /// A signal with this number ended the process. A tender that ends so by itself has a defect, whatever its guest did.
    Signal(i32),
}

/// Outcome of a run. Each failed expectation prints the whole output of the run.
#[derive(Debug)]
pub struct Outcome {
    end: End,
    stdout: String,
    stderr: String,
}

/// Checks that a program has printed what it prints on Linux; the message has the lines that differ.
#[track_caller]
pub fn same_lines(husk: &str, linux: &str) {
    let differences: Vec<_> = linux.lines().zip(husk.lines()).filter(|(linux, husk)| linux != husk).collect();
    assert!(differences.is_empty(), "Linux and Husk differ: {differences:#?}");
    assert_eq!(husk, linux);
}

impl Outcome {
    /// Returns the outcome of an ended process.
    pub fn of(output: Output) -> Self {
        let end = match (output.status.code(), output.status.signal()) {
            (Some(status), _) => End::Exit(status),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => unreachable!("a process that was waited for has exited or was ended by a signal"),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { end, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Standard output.
    pub fn stdout(&self) -> String {
        self.stdout.clone()
    }

    /// Standard error without the tender's warnings about a host that protects less, because hosts differ
    /// ([`Outcome::warnings`]).
    pub fn stderr(&self) -> String {
        self.stderr.split_inclusive('\n').filter(|line| !is_warning(line)).collect()
    }

    /// Warnings of the tender about a host that protects less: a line each.
    pub fn warnings(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| is_warning(line)).collect()
    }

    /// Returns the end of the process.
    pub fn end(&self) -> End {
        self.end
    }

    /// Returns the exit status; an end by a signal fails the test.
    #[track_caller]
    pub fn status(&self) -> i32 {
        match self.end {
            End::Exit(status) => status,
            End::Signal(_) => panic!("{self}"),
        }
    }

    /// Expects one of these ends.
    #[track_caller]
    pub fn expect_end(&self, ends: &[End]) -> &Self {
        assert!(ends.contains(&self.end), "not {ends:?}: {self}");
        self
    }

    /// Expects an exit with this status.
    #[track_caller]
    pub fn expect_status(&self, status: i32) -> &Self {
        self.expect_end(&[End::Exit(status)])
    }

    /// Expects an end by this signal.
    #[track_caller]
    pub fn expect_signal(&self, signal: i32) -> &Self {
        self.expect_end(&[End::Signal(signal)])
    }

    /// Expects an exit with status 0.
    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        self.expect_status(0)
    }

    /// Expects exactly this standard output.
    #[track_caller]
    pub fn expect_stdout(&self, text: &str) -> &Self {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// Expects standard error to contain this.
    #[track_caller]
    pub fn expect_stderr(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "no '{part}' in {self}");
        self
    }

    /// Expects that the guest was stopped for a fault, with this status and this in the first line of the report.
    #[track_caller]
    pub fn expect_fault(&self, status: u8, part: &str) -> &Self {
        self.expect_status(status.into());
        let line = self.stderr.lines().find(|line| line.starts_with("husk: the guest stopped: ")).unwrap_or_default();
        assert!(line.contains(part), "no '{part}' in the report of {self}");
        assert!(!self.stdout.contains("survived"), "{self}");
        self
    }

    /// Expects that the tender refused to start the guest, with one line that contains these parts.
    #[track_caller]
    pub fn expect_refusal(&self, parts: &[&str]) -> &Self {
        self.expect_status(husk_abi::fault::TENDER_ERROR.into());
        assert_eq!(self.stderr().lines().count(), 1, "one line for the person at the terminal: {self}");
        for part in parts {
            assert!(self.stderr.contains(part), "no '{part}' in {self}");
        }
        self
    }
}

/// Returns true if the tender continues after this line. With `--strict`, it refuses with the same words.
fn is_warning(line: &str) -> bool {
    line.starts_with("husk: this host protects less than others: ") && !line.contains("--strict")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}\n--- stdout\n{}--- stderr\n{}", self.end, self.stdout, self.stderr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;
    use std::process::Command;

    fn outcome(script: &str) -> Outcome {
        Outcome::of(Command::new("sh").args(["-c", script]).output().expect("there is a shell"))
    }

    #[test]
    fn an_end_by_a_signal_is_no_status() {
        let killed = outcome("kill -SEGV $$");
        assert_eq!(killed.end(), End::Signal(libc::SIGSEGV));
        killed.expect_signal(libc::SIGSEGV);
        let missed = |expectation: fn(&Outcome) -> &Outcome| catch_unwind(|| expectation(&killed).end()).is_err();
        assert!(catch_unwind(|| killed.status()).is_err());
        assert!(missed(Outcome::expect_success));
        assert!(missed(|outcome| outcome.expect_status(128 + libc::SIGSEGV)));
        assert!(missed(|outcome| outcome.expect_end(&[End::Exit(0), End::Signal(libc::SIGTERM)])));
        // A shell reports a signal as an ordinary status.
        outcome("exit 139").expect_status(139).expect_end(&[End::Exit(1), End::Exit(139)]);
    }
}
