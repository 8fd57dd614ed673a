//! Calls of signal handlers.
//!
//! A signal frame on the thread's stack holds the interrupted state, which `rt_sigreturn` restores. If the signal has ended a
//! call of the thread and the call is to be restarted, the restart is part of that state.

use super::action::{Delivery, Origin};
use super::{DEFAULT, Fate, Signals, UNSTOPPABLE, bit, end};
use crate::arch::{signal_frame, vector};
use crate::errno::Errno;
use crate::threads::signal_stack::NO_STACK;
use crate::threads::{CutShort, Thread, Threads};
use linux_raw_sys::general::*;

impl Signals {
    /// Delivers the pending, unblocked signals of the current thread, which is about to return to its program. Returns a signal
    /// that ends the program instead.
    #[cold]
    pub fn deliver(&mut self, threads: &mut Threads) -> Option<u32> {
        while let Some(signal) = threads.current().next_signal() {
            threads.current().pending &= !bit(signal);
            match self.fate(signal) {
                Fate::Ignored => drop(self.take_origin(signal)),
                Fate::Fatal => return Some(signal),
                Fate::Handled => {
                    self.call_handler(threads, signal).unwrap_or_else(|_| self.fail_delivery(threads, signal));
                }
            }
        }
        // A call with a mask of its own is over, even if all signals were ignored and no handler was called.
        let thread = threads.current();
        thread.blocked = thread.blocked_after.take().unwrap_or(thread.blocked);
        // No handler was called: the call is restarted, whichever it is.
        if let Some(call) = thread.cut_short.take() {
            thread.registers.restart(call.number);
            thread.deadline = call.deadline;
        }
        None
    }

    fn call_handler(&mut self, threads: &mut Threads, signal: u32) -> Result<(), Errno> {
        let origin = self.take_origin(signal);
        let shape = threads.vectors();
        let thread = threads.current();
        if thread.vectors.is_none() {
            thread.vectors = Some(vector::Area::new(&shape)?);
        }
        let action = self.action(signal)?;
        if let Some(call) = thread.cut_short.take()
            && (is_restarted_always(thread, call)
                || action.flags & u64::from(SA_RESTART) != 0 && is_restarted(thread, call))
        {
            thread.registers.restart(call.number);
        }
        let mask = thread.blocked_after.unwrap_or(thread.blocked);
        let delivery = Delivery { signal, origin, mask, stack: thread.signal_stack };
        signal_frame::push(&mut thread.registers, action, &delivery, &shape)?;
        thread.blocked_after = None;
        if thread.signal_stack.flags & SS_AUTODISARM != 0 {
            thread.signal_stack = NO_STACK;
        }
        let own = if action.flags & u64::from(SA_NODEFER) != 0 { 0 } else { bit(signal) };
        thread.blocked |= (action.mask | own) & !UNSTOPPABLE;
        if action.flags & u64::from(SA_RESETHAND) != 0 {
            action.handler = DEFAULT;
        }
        Ok(())
    }

    /// Handles a signal frame that cannot be written: that is SIGSEGV, which a handler on another stack may take. If that
    /// handler cannot be called either, or not now, the program ends.
    fn fail_delivery(&mut self, threads: &mut Threads, signal: u32) {
        let is_blocked = threads.current().blocked & bit(SIGSEGV) != 0;
        if signal == SIGSEGV || is_blocked || self.fate(SIGSEGV) != Fate::Handled {
            end(SIGSEGV);
        }
        self.note_origin(SIGSEGV, Origin::KERNEL);
        threads.current().pending |= bit(SIGSEGV);
    }
}

/// Returns true if a call is restarted after any handler. C libraries rely on it: a lock that inherits priorities never fails with
/// EINTR (futex(2)).
fn is_restarted_always(thread: &Thread, call: CutShort) -> bool {
    let [_, operation, ..] = thread.registers.arguments();
    let command = operation as u32 & FUTEX_CMD_MASK as u32;
    call.number == u64::from(__NR_futex) && [FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI].contains(&command)
}

/// Returns true if a call is restarted after a handler with `SA_RESTART`: see signal(7), "Interruption of system calls and
/// library functions by signal handlers". Calls with a timeout are not.
fn is_restarted(thread: &Thread, call: CutShort) -> bool {
    let [_, _, _, futex_timeout, ..] = thread.registers.arguments();
    let is = |number: &u32| call.number == u64::from(*number);
    match is(&__NR_futex) {
        true => futex_timeout == 0,
        false => call.deadline.is_none() && !NEVER_RESTARTED.iter().any(is),
    }
}

/// Calls that wait for signals, for any of several files, for a time, or for an object of System V.
const NEVER_RESTARTED: &[u32] = &[
    __NR_pause,
    __NR_rt_sigsuspend,
    __NR_rt_sigtimedwait,
    __NR_poll,
    __NR_ppoll,
    __NR_select,
    __NR_pselect6,
    __NR_epoll_wait,
    __NR_epoll_pwait,
    __NR_epoll_pwait2,
    __NR_nanosleep,
    __NR_clock_nanosleep,
    __NR_semop,
    __NR_semtimedop,
    __NR_msgsnd,
    __NR_msgrcv,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Registers;
    use husk::abi::registers::Registers as General;

    fn restarts(number: u32, deadline: Option<u64>, fourth: u64) -> bool {
        let registers: Registers = General { r10: fourth, ..General::default() }.into();
        is_restarted(&Thread::new(1, registers), CutShort { number: number.into(), deadline })
    }

    #[test]
    fn locks_that_inherit_priorities_are_restarted_after_any_handler() {
        let always = |number: u32, operation: u32| {
            let general = General { rsi: operation.into(), r10: 0x1000, ..General::default() };
            let call = CutShort { number: number.into(), deadline: None };
            is_restarted_always(&Thread::new(1, general.into()), call)
        };
        for lock in [FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI] {
            assert!(always(__NR_futex, lock) && always(__NR_futex, lock | FUTEX_PRIVATE_FLAG));
            assert!(!always(__NR_read, lock));
        }
        assert!(!always(__NR_futex, FUTEX_WAIT) && !always(__NR_futex, FUTEX_WAIT_BITSET));
    }

    #[test]
    fn calls_that_wait_without_a_limit_are_restarted_but_those_that_wait_for_signals_or_many_files() {
        assert!(restarts(__NR_read, None, 0) && restarts(__NR_futex, None, 0) && restarts(__NR_flock, None, 0));
        assert!(!restarts(__NR_recvfrom, Some(1), 0) && !restarts(__NR_futex, None, 0x1000));
        for never in [__NR_pause, __NR_epoll_wait, __NR_poll, __NR_nanosleep] {
            assert!(!restarts(never, None, 0), "{never}");
        }
    }
}
