//! Signals: what the program wants done about each, the default for those it does not mention, and their delivery.
//!
//! A signal waits with a thread until that thread is about to go on with its program. Then its handler goes in between:
//! a frame on the thread's stack holds what it was about to do, and `rt_sigreturn` takes it up again.

use crate::arch::{self, signal_frame};
use crate::errno::Errno;
use crate::libos::Libos;
use crate::threads::{PROCESS, SignalStack};
use alloc::vec::Vec;
use husk::abi::signals::TOLD;
pub use husk::abi::signals::bit;
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
#[derive(Debug, Default)]
pub struct Signals {
    /// From the first signal up to the highest that the program has asked about.
    actions: Vec<Action>,
}

/// What becomes of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ignored,
    Fatal,
    Handled,
}

impl Signals {
    /// The action of a signal from 1 to [`HIGHEST`]; EINVAL for another.
    pub fn action(&mut self, signal: u32) -> Result<&mut Action, Errno> {
        if u64::from(signal) > HIGHEST {
            return Err(Errno::EINVAL);
        }
        let missing = (signal as usize).saturating_sub(self.actions.len());
        self.actions.try_reserve(missing).map_err(|_| Errno::ENOMEM)?;
        self.actions.resize(self.actions.len() + missing, Action::default());
        let index = (signal as usize).checked_sub(1).ok_or(Errno::EINVAL)?;
        self.actions.get_mut(index).ok_or(Errno::EINVAL)
    }

    /// Whether the program has a function for a signal that may come from outside.
    pub fn awaited(&self) -> bool {
        TOLD.into_iter().any(|signal| self.fate(signal) == Fate::Handled)
    }

    fn fate(&self, signal: u32) -> Fate {
        let action = (signal as usize).checked_sub(1).and_then(|index| self.actions.get(index));
        match action.map_or(DEFAULT, |action| action.handler) {
            IGNORE => Fate::Ignored,
            // Nobody could wake a program that stops.
            DEFAULT => match signal {
                SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Fate::Ignored,
                _ => Fate::Fatal,
            },
            _ => Fate::Handled,
        }
    }
}

/// The signal to who writes where nobody reads.
pub const PIPE: u32 = SIGPIPE;

/// The set of signals that cannot be caught, blocked or ignored.
pub const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

impl Libos {
    /// Sends a signal from 1 to [`HIGHEST`] to a thread.
    pub fn send_signal(&mut self, thread: u32, signal: u32) -> Result<(), Errno> {
        let (slot, thread) = self.threads.find(thread).ok_or(Errno::ESRCH)?;
        let blocked = thread.blocked & bit(signal) != 0;
        if blocked || self.signals.fate(signal) != Fate::Ignored {
            thread.pending |= bit(signal);
        }
        if !blocked && thread.next_signal().is_some() {
            self.threads.interrupt(slot);
        }
        Ok(())
    }

    /// Sends a signal to the program: to a thread that does not block it, if there is one.
    pub fn send_signal_to_any(&mut self, signal: u32) -> Result<(), Errno> {
        let willing = self.threads.willing(bit(signal)).ok_or(Errno::ESRCH)?;
        self.send_signal(willing, signal)
    }

    /// Sends the program what was sent to the tender, if anything was.
    #[inline]
    pub fn hear(&mut self) {
        if arch::signals_told() {
            self.send_told();
        }
    }

    #[cold]
    fn send_told(&mut self) {
        let told = arch::take_signals();
        for signal in (1..=HIGHEST as u32).filter(|signal| told & bit(*signal) != 0) {
            // There is always a thread.
            let _ = self.send_signal_to_any(signal);
        }
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
        // A call with a mask of its own is over, even if all signals were ignored and no handler was called.
        let thread = self.threads.current();
        thread.blocked = thread.blocked_after.take().unwrap_or(thread.blocked);
    }

    fn call_handler(&mut self, signal: u32) -> Result<(), Errno> {
        let thread = self.threads.current();
        let action = self.signals.action(signal)?;
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

/// Ends the program as a signal does. Of those that leave a core on Linux, the tender reports where they came.
pub fn end(signal: u32) -> ! {
    match signal {
        SIGQUIT | SIGILL | SIGTRAP | SIGABRT | SIGBUS | SIGFPE | SIGSEGV | SIGXCPU | SIGXFSZ | SIGSYS => {
            husk::process::abort(signal)
        }
        _ => husk::process::exit(128 + signal as u8),
    }
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
        assert!(signals.action(0).is_err() && signals.action(65).is_err());
    }
}
