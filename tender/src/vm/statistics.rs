//! Counters of what a guest has done so far, for `husk run --verbose`.

use crate::vm::refusal;
use husk_abi::call::{Number, notice};
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

/// Counters of one guest's run.
#[derive(Debug)]
pub struct Statistics {
    verbose: bool,
    started: Instant,
    confined: Duration,
    first_instruction: Option<Instant>,
    first_output: Option<Instant>,
    calls: [u64; Number::ALL.len()],
    interrupted: u64,
    unanswered: BTreeSet<u64>,
    touched: u64,
    refused: Option<u64>,
    reported: BTreeSet<u64>,
}

impl Statistics {
    /// Starts to count; `started` is the start of the tender.
    pub fn new(verbose: bool, started: Instant) -> Self {
        Self {
            verbose,
            started,
            confined: Duration::ZERO,
            first_instruction: None,
            first_output: None,
            calls: Default::default(),
            interrupted: 0,
            unanswered: BTreeSet::new(),
            touched: 0,
            refused: None,
            reported: BTreeSet::new(),
        }
    }

    /// Adds the time that a step of confinement took.
    pub fn confine(&mut self, took: Duration) {
        self.confined += took;
    }

    /// Records that the guest is about to run.
    pub fn enter(&mut self) {
        if self.verbose && self.first_instruction.is_none() {
            self.first_instruction = Some(Instant::now());
        }
    }

    /// Counts a call of the guest.
    pub fn count(&mut self, number: Number) {
        let index = Number::ALL.iter().position(|known| *known == number);
        if let Some(count) = index.and_then(|index| self.calls.get_mut(index)) {
            *count += 1;
        }
    }

    /// Counts a stop of the guest by a signal to the tender, after which the guest continues.
    pub fn interrupt(&mut self) {
        self.interrupted += 1;
    }

    /// Counts a first touch of memory, which the guest got.
    pub fn touch(&mut self) {
        self.touched += 1;
    }

    /// Records that the guest is about to print something.
    pub fn output(&mut self) {
        if self.verbose && self.first_output.is_none() {
            self.first_output = Some(Instant::now());
        }
    }

    /// Reports a Linux system call of the program that the libos does not answer, once for each number.
    pub fn unanswered(&mut self, system_call: u64) {
        const REMEMBERED_MAXIMUM: usize = 1024;
        if self.verbose && self.unanswered.len() < REMEMBERED_MAXIMUM && self.unanswered.insert(system_call) {
            crate::say!("husk: the program made system call {system_call}, which is not answered (ENOSYS)");
        }
    }

    /// Records a notice of the guest: see [`notice`]. What the program cannot get is reported once.
    pub fn notice(&mut self, notice: u64, value: u64) {
        match notice {
            notice::MEMORY_REFUSED => self.refused = Some(value),
            notice => {
                if let Some(explained) = refusal::explain(notice, value)
                    && self.reported.insert(notice)
                {
                    crate::say!("husk: the program {explained}");
                }
            }
        }
    }

    /// Returns how many bytes of memory the program was refused last, if it ever asked for too many.
    pub fn refused(&self) -> Option<u64> {
        self.refused
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = |instant: Option<Instant>| match instant {
            Some(instant) => format!("{:.3} ms", instant.duration_since(self.started).as_secs_f64() * 1e3),
            None => "never".to_owned(),
        };
        writeln!(f, "husk: confined itself in      {:.3} ms", self.confined.as_secs_f64() * 1e3)?;
        writeln!(f, "husk: first instruction after {}", since(self.first_instruction))?;
        writeln!(f, "husk: first output after      {}", since(self.first_output))?;
        write!(f, "husk: exits:")?;
        for (number, count) in Number::ALL.iter().zip(self.calls).filter(|(_, count)| *count > 0) {
            write!(f, " {} {count}", number.name())?;
        }
        if self.touched > 0 {
            write!(f, " touched {}", self.touched)?;
        }
        write!(f, " interrupted {}", self.interrupted)
    }
}
