//! What a run came to, and what a test expects of it.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// The end of a run. Each expectation fails with everything that the run printed.
#[derive(Debug)]
pub struct Outcome {
    output: Option<Output>,
}

impl Outcome {
    /// The outcome of a run that was made.
    pub fn of(output: Output) -> Self {
        Self { output: Some(output) }
    }

    /// The outcome of a run that this machine cannot make: everything that is expected of it holds.
    pub fn skipped() -> Self {
        Self { output: None }
    }

    /// Standard output; empty if skipped.
    pub fn stdout(&self) -> String {
        self.output.as_ref().map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Standard error; empty if skipped.
    pub fn stderr(&self) -> String {
        self.output.as_ref().map_or_else(String::new, |output| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Its exit status, unless a signal ended it.
    pub fn status(&self) -> Option<i32> {
        self.output.as_ref()?.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.output.as_ref()?.status.signal()
    }

    /// It ended with this exit status.
    #[track_caller]
    pub fn expect_status(&self, status: i32) -> &Self {
        if let Some(output) = &self.output {
            assert_eq!(output.status.code(), Some(status), "signal {:?}, {self}", output.status.signal());
        }
        self
    }

    /// It ended well.
    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        self.expect_status(0)
    }

    /// Its standard output is exactly this.
    #[track_caller]
    pub fn expect_stdout(&self, text: &str) -> &Self {
        if self.output.is_some() {
            assert_eq!(self.stdout(), text, "{self}");
        }
        self
    }

    /// Its standard error has this in it.
    #[track_caller]
    pub fn expect_stderr(&self, part: &str) -> &Self {
        if self.output.is_some() {
            assert!(self.stderr().contains(part), "no '{part}' in {self}");
        }
        self
    }

    /// The guest was stopped for a fault, with this status and this in the first line of the report.
    #[track_caller]
    pub fn expect_fault(&self, status: u8, part: &str) -> &Self {
        self.expect_status(status.into());
        if self.output.is_some() {
            let stderr = self.stderr();
            let line = stderr.lines().find(|line| line.starts_with("husk: the guest stopped: ")).unwrap_or_default();
            assert!(line.contains(part), "no '{part}' in the report of {self}");
            assert!(!self.stdout().contains("survived"), "{self}");
        }
        self
    }

    /// The tender refused to start it, with one line that has these in it.
    #[track_caller]
    pub fn expect_refusal(&self, parts: &[&str]) -> &Self {
        self.expect_status(husk_abi::fault::TENDER_ERROR.into());
        if self.output.is_some() {
            let stderr = self.stderr();
            assert_eq!(stderr.lines().count(), 1, "one line for the person at the terminal: {self}");
            for part in parts {
                assert!(stderr.contains(part), "no '{part}' in {self}");
            }
        }
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.output.as_ref().map(|output| output.status);
        write!(f, "{status:?}\n--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr())
    }
}
