//! Signals as files: signalfd(2).
//!
//! Such a file is ready while a signal of its set is pending because all threads that could take it block it. A signal sent to
//! a certain thread can be read by every thread, so that no thread sees a file as ready without data for it.

use super::ready::Ready;

/// A file of signals.
#[derive(Clone, Copy, Debug)]
pub struct SignalFile {
    /// Set of signals; bit n-1 for signal n.
    pub set: u64,
    /// Signals of the set that were pending at the last check.
    pending: u64,
}

impl SignalFile {
    /// Returns a file for the signals of `set`.
    pub fn new(set: u64) -> Self {
        Self { set, pending: 0 }
    }

    /// Events that the file is ready for.
    pub fn ready(self) -> Ready {
        if self.pending == 0 { Ready::empty() } else { Ready::IN }
    }

    /// Updates the file when these signals are pending for the program. Returns true if there are new ones among them.
    pub fn update(&mut self, pending: u64) -> bool {
        let before = core::mem::replace(&mut self.pending, pending & self.set);
        self.pending & !before != 0
    }
}
