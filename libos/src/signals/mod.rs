//! Signals: what the program wants done about each, the default for those it does not mention, and their delivery.
//!
//! A signal waits with a thread until that thread is about to go on with its program. Then its handler goes in between:
//! a frame on the thread's stack holds what it was about to do, and `rt_sigreturn` takes it up again.

use crate::arch::signal_frame;
use crate::errno::Errno;
use crate::libos::Libos;
use crate::threads::{PROCESS, SignalStack};
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

/// One signal on its way to a handler.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Its number.
    pub signal: u32,
    /// Where it came from: `SI_*`.
    pub code: i32,
    /// Number of the process that sent it.
    pub sender: u32,
    /// Signals that were blocked when it came.
    pub mask: u64,
    /// The thread's alternate stack.
    pub stack: SignalStack,
}

/// `SIG_DFL`.
const DEFAULT: u64 = 0;
/// `SIG_IGN`.
const IGNORE: u64 = 1;
/// `SI_USER`: somebody used kill(2), or its like.
const FROM_USER: i32 = 0;

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

/// What becomes of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ignored,
    Fatal,
    Handled,
}

impl Signals {
    /// The action of a signal from 1 to [`HIGHEST`].
    pub fn action(&mut self, signal: u32) -> Option<&mut Action> {
        self.actions.get_mut((signal as usize).checked_sub(1)?)
    }

    fn fate(&mut self, signal: u32) -> Fate {
        match self.action(signal).map(|action| action.handler) {
            None | Some(IGNORE) => Fate::Ignored,
            // Nobody could wake a program that stops.
            Some(DEFAULT) => match signal {
                SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Fate::Ignored,
                _ => Fate::Fatal,
            },
            Some(_) => Fate::Handled,
        }
    }
}

/// The signal to who writes where nobody reads.
pub const PIPE: u32 = SIGPIPE;

/// The bit of a signal in a set.
pub const fn bit(signal: u32) -> u64 {
    1 << (signal.wrapping_sub(1) % 64)
}

/// The set of signals that cannot be caught, blocked or ignored.
pub const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

impl Libos {
    /// Sends a signal from 1 to [`HIGHEST`] to a thread.
    pub fn send_signal(&mut self, thread: u32, signal: u32) -> Result<(), Errno> {
        let (slot, thread) = self.threads.find(thread).ok_or(Errno::ESRCH)?;
        thread.pending |= bit(signal);
        if thread.blocked & bit(signal) == 0 && self.signals.fate(signal) != Fate::Ignored {
            self.threads.interrupt(slot);
        }
        Ok(())
    }

    /// Sends a signal to the program: to a thread that does not block it, if there is one.
    pub fn send_signal_to_any(&mut self, signal: u32) -> Result<(), Errno> {
        let id = self.threads.current().id;
        let willing = self.threads.willing(bit(signal)).unwrap_or(id);
        self.send_signal(willing, signal)
    }

    /// Lets the current thread, which is about to go on, have the signals that wait for it and that it does not block.
    #[cold]
    pub fn take_signals(&mut self) {
        while let Some(signal) = self.threads.current().next_signal() {
            self.threads.current().pending &= !bit(signal);
            match self.signals.fate(signal) {
                Fate::Ignored => {}
                Fate::Fatal => end(signal),
                // As on Linux, where a frame that cannot be written is a memory fault without a handler.
                Fate::Handled => self.call_handler(signal).unwrap_or_else(|_| end(SIGSEGV)),
            }
        }
    }

    fn call_handler(&mut self, signal: u32) -> Result<(), Errno> {
        let thread = self.threads.current();
        let action = self.signals.action(signal).ok_or(Errno::EINVAL)?;
        let mask = thread.blocked_after.take().unwrap_or(thread.blocked);
        let delivery = Delivery { signal, code: FROM_USER, sender: PROCESS, mask, stack: thread.signal_stack };
        signal_frame::push(&mut thread.registers, action, &delivery)?;
        let own = if action.flags & u64::from(SA_NODEFER) != 0 { 0 } else { bit(signal) };
        thread.blocked |= (action.mask | own) & !UNSTOPPABLE;
        if action.flags & u64::from(SA_RESETHAND) != 0 {
            action.handler = DEFAULT;
        }
        Ok(())
    }
}

/// Ends the program as a signal does.
fn end(signal: u32) -> ! {
    husk::process::exit(128 + signal as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_linuxs_but_for_stopping() {
        let mut signals = Signals::default();
        assert_eq!(signals.fate(SIGTERM), Fate::Fatal);
        assert_eq!(signals.fate(SIGCHLD), Fate::Ignored);
        assert_eq!(signals.fate(SIGTSTP), Fate::Ignored);
        assert_eq!(signals.fate(64), Fate::Fatal);
        assert!(signals.action(0).is_none() && signals.action(65).is_none());
    }
}
