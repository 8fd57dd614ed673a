//! Signals: the program's actions, the defaults for signals without one, and delivery.
//!
//! A signal is pending for a thread until that thread is about to return to its program ([`handler`]). A signal sent to the
//! program while all threads block it stays pending until a thread unblocks it.

pub mod action;
mod files;
pub mod handler;
pub mod timers;

use crate::arch;
use crate::errno::Errno;
use crate::threads::{Thread, Threads};
use crate::user;
pub use action::{Action, Origin};
use alloc::vec::Vec;
use husk::abi::signals::FORWARDED;
pub use husk::abi::signals::bit;
use linux_raw_sys::general::*;

/// Highest signal number.
pub const HIGHEST: u64 = 64;

/// `SIG_DFL`.
const DEFAULT: u64 = 0;
/// `SIG_IGN`.
const IGNORE: u64 = 1;

/// State of the signals, except for those pending for a thread.
#[derive(Debug, Default)]
pub struct Signals {
    /// Actions from the first signal up to the highest that the program has asked about.
    actions: Vec<Action>,
    /// Pending signals of the program that no thread takes now; bit n-1 for signal n.
    pub pending: u64,
    /// Origins of undelivered signals, if not [`Origin::USER`].
    origins: Vec<(u32, Origin)>,
    /// Signal that ends the program though the thread that it is for waits for a device ([`Thread::held`]).
    pub fatal: Option<u32>,
    /// The program's timers.
    pub timers: timers::Timers,
}

/// Treatment of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ignored,
    Fatal,
    Handled,
}

impl Signals {
    /// The action of a signal from 1 to [`HIGHEST`]; EINVAL for any other number.
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

    /// Returns true if the program handles a signal that may come from outside, or reads it from a file: `files` are the
    /// signals that it reads.
    pub fn awaited(&self, files: u64) -> bool {
        FORWARDED.into_iter().any(|signal| self.fate(signal) == Fate::Handled || files & bit(signal) != 0)
    }

    /// Makes sure that there is room for the origin of any signal.
    pub fn reserve_origins(&mut self) -> Result<(), Errno> {
        let more = HIGHEST as usize - self.origins.len();
        self.origins.try_reserve(more).map_err(|_| Errno::EAGAIN)
    }

    /// Notes the origin of a signal that was sent just now, if there is memory for it.
    pub fn note_origin(&mut self, signal: u32, origin: Origin) {
        if origin != Origin::USER && self.reserve_origins().is_ok() {
            self.set_origin(signal, origin);
        } else {
            self.take_origin(signal);
        }
    }

    /// Notes the origin of a signal, if there is room.
    fn set_origin(&mut self, signal: u32, origin: Origin) {
        self.origins.retain(|(other, _)| *other != signal);
        if self.origins.len() < self.origins.capacity() {
            self.origins.push((signal, origin));
        }
    }

    /// Removes and returns the origin of a signal that is being delivered.
    pub fn take_origin(&mut self, signal: u32) -> Origin {
        match self.origins.iter().position(|(other, _)| *other == signal) {
            Some(at) => self.origins.swap_remove(at).1,
            None => Origin::USER,
        }
    }

    /// Forgets a signal that is pending, also for threads that block it, if it is ignored now.
    pub fn forget_ignored(&mut self, threads: &mut Threads, signal: u32) {
        if self.fate(signal) == Fate::Ignored {
            self.pending &= !bit(signal);
            threads.forget_pending(bit(signal));
        }
    }

    /// Sets of the signals that the program ignores, and that it handles.
    pub fn ignored_and_handled(&self) -> (u64, u64) {
        let actions = (1..).zip(&self.actions);
        actions.fold((0, 0), |(ignored, handled), (signal, action)| match action.handler {
            DEFAULT => (ignored, handled),
            IGNORE => (ignored | bit(signal), handled),
            _ => (ignored, handled | bit(signal)),
        })
    }

    fn fate(&self, signal: u32) -> Fate {
        let action = (signal as usize).checked_sub(1).and_then(|index| self.actions.get(index));
        match action.map_or(DEFAULT, |action| action.handler) {
            IGNORE => Fate::Ignored,
            // No process could continue a stopped program.
            DEFAULT => match signal {
                SIGCHLD | SIGCONT | SIGURG | SIGWINCH | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Fate::Ignored,
                _ => Fate::Fatal,
            },
            _ => Fate::Handled,
        }
    }
}

/// Signal for a write to a pipe or socket without a reader.
pub const PIPE: u32 = SIGPIPE;

/// The set of signals that cannot be caught, blocked or ignored.
pub const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

impl Signals {
    /// Sends a signal from 1 to [`HIGHEST`] to a thread.
    pub fn send(&mut self, threads: &mut Threads, thread: u32, signal: u32) -> Result<(), Errno> {
        let (slot, thread) = threads.find(thread).ok_or(Errno::ESRCH)?;
        let blocked = thread.blocked & bit(signal) != 0;
        if blocked || self.fate(signal) != Fate::Ignored {
            thread.pending |= bit(signal);
        }
        if thread.held && !blocked && self.fate(signal) == Fate::Fatal {
            self.fatal = Some(signal);
        } else if awaits(thread) & thread.pending != 0 {
            threads.wake(slot);
        } else if !blocked && thread.next_signal().is_some() {
            threads.interrupt(slot);
        }
        Ok(())
    }

    /// Sends a signal to the program: to a thread that takes it now, if there is one, or else after its call on a device.
    pub fn send_to_any(&mut self, threads: &mut Threads, signal: u32) {
        let takes = |thread: &Thread| (awaits(thread) | !thread.blocked) & bit(signal) != 0;
        let taken = threads.willing(|thread| !thread.held && takes(thread)).or_else(|| threads.willing(takes));
        match taken {
            // The thread has just been found.
            Some(thread) => drop(self.send(threads, thread, signal)),
            None => self.pending |= bit(signal),
        }
    }

    /// Moves the program's pending signals of `set` to the current thread.
    pub fn claim(&mut self, threads: &mut Threads, set: u64) {
        let claimed = self.pending & set;
        self.pending &= !claimed;
        threads.current().pending |= claimed;
    }

    /// Blocks these signals for the current thread until a signal arrives that is not among them.
    pub fn suspend(&mut self, threads: &mut Threads, blocked: u64) {
        threads.current().suspend(blocked);
        self.claim(threads, !blocked);
    }

    /// Posts the signals that the tender has received, and those of expired timers, to the program.
    #[inline]
    pub fn poll(&mut self, threads: &mut Threads) {
        if arch::signals_posted() {
            self.send_told(threads);
        }
        if self.timers.is_due() {
            self.ring(threads);
        }
    }

    #[cold]
    fn send_told(&mut self, threads: &mut Threads) {
        let told = arch::take_signals();
        let pending = self.pending | threads.all_pending();
        for signal in (1..=HIGHEST as u32).filter(|signal| told & bit(*signal) != 0) {
            if pending & bit(signal) == 0 {
                // One that the program sent and ignored.
                self.take_origin(signal);
            }
            self.send_to_any(threads, signal);
        }
    }
}

/// Signals that a thread waits for in rt_sigtimedwait(2), if it does.
fn awaits(thread: &Thread) -> u64 {
    let [set, ..] = thread.registers.arguments();
    match thread.asleep != 0 && thread.registers.number() == u64::from(__NR_rt_sigtimedwait) {
        true => user::read(set).unwrap_or(0),
        false => 0,
    }
}

/// Returns true if a thread, which sleeps without a deadline, waits for a signal.
pub fn waits(thread: &Thread) -> bool {
    [__NR_pause, __NR_rt_sigsuspend, __NR_rt_sigtimedwait]
        .iter()
        .any(|call| u64::from(*call) == thread.registers.number())
}

/// Ends the program as a signal does. For signals that dump core on Linux, the tender reports where they occurred.
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
