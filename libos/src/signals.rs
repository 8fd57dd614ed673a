//! Signals: what the program wants done about each, and the default for those it does not mention.

use crate::libos::Libos;
use linux_raw_sys::general::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Highest signal number.
pub const HIGHEST: u64 = 64;

/// What to do about a signal; the layout of the kernel's `struct sigaction`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Action {
    /// `SIG_DFL`, `SIG_IGN` or a function's address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the function returns to.
    pub restorer: u64,
    /// Signals that wait while the function runs.
    pub mask: u64,
}

/// `SIG_DFL`.
const DEFAULT: u64 = 0;
/// `SIG_IGN`.
const IGNORE: u64 = 1;

/// The actions of all signals.
#[derive(Debug)]
pub struct Signals {
    actions: [Action; HIGHEST as usize],
}

impl Default for Signals {
    fn default() -> Self {
        Self { actions: [Action::default(); HIGHEST as usize] }
    }
}

impl Signals {
    /// The action of a signal from 1 to [`HIGHEST`].
    pub fn action(&mut self, signal: u32) -> Option<&mut Action> {
        self.actions.get_mut((signal as usize).checked_sub(1)?)
    }
}

/// The bit of a signal in a set.
pub const fn bit(signal: u32) -> u64 {
    1 << (signal.wrapping_sub(1) % 64)
}

/// The set of signals that cannot be caught, blocked or ignored.
pub const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

/// Whether the program goes on if it has said nothing about this signal. Nobody could wake one that stops.
const fn harmless(signal: u32) -> bool {
    matches!(signal, SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU)
}

impl Libos {
    /// Lets the current thread have the signals that wait for it and that it does not block.
    pub fn take_signals(&mut self) {
        loop {
            let thread = self.threads.current();
            let due = thread.pending & !thread.blocked;
            if due == 0 {
                return;
            }
            let signal = due.trailing_zeros() + 1;
            thread.pending &= !bit(signal);
            let handler = self.signals.action(signal).map_or(DEFAULT, |action| action.handler);
            // Functions are not called yet.
            if handler == DEFAULT && !harmless(signal) {
                husk::process::exit(128 + signal as u8);
            }
            debug_assert!(handler == DEFAULT || handler >= IGNORE);
        }
    }
}
