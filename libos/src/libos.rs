//! Path of a system call through the libos, and waits when no thread can run.

use crate::arch::{self, Registers};
use crate::errno::Errno;
use crate::fs::device::Input;
use crate::memory;
use crate::processor_time;
use crate::signals;
use crate::state::Libos;
use crate::syscall_result::{Stop, SyscallResult};
use crate::syscalls::{Arguments, files, table};
use crate::threads::State;
use husk::abi::call::{News, Number};
use linux_raw_sys::general::__NR_mprotect;
use spin::Mutex;

/// Number of expired time slices per random change of the order of turns, on average.
const SHUFFLE: u8 = 4;

/// Lock of the libos. It is never held while the program runs.
pub static LIBOS: Mutex<Option<Libos>> = Mutex::new(None);

/// Interval of the checks for input that a thread waits for while others run, in nanoseconds.
const INPUT_INTERVAL: u64 = 10_000_000;

impl Libos {
    /// Handles the current thread's call; returns the registers to load.
    pub fn system_call(&mut self) -> *mut Registers {
        let mut running = self.answer();
        if running && self.threads.turn_is_over() {
            self.threads.put_last();
            running = false;
        }
        self.go_on(running)
    }

    /// Ends the current thread's slice, and runs another thread, if one is ready.
    fn turn_over(&mut self, rip: u64, flags: u64, stack: u64) -> *mut Registers {
        self.threads.current().registers.stopped(rip, flags, stack);
        self.look_for_input();
        if self.net.is_due(husk::clock::monotonic_ns()) {
            self.poll_network();
        }
        let others = self.threads.others_ready();
        if others {
            // In a fixed order, the same thread could always run right after the one that produces what all of them spin for.
            let mut byte = [0];
            self.random.fill(&mut byte);
            if byte[0].is_multiple_of(SHUFFLE) { self.threads.put_before_last() } else { self.threads.put_last() }
        }
        self.go_on(!others)
    }

    /// Unless the current thread continues, restarts waiting calls until a thread can return to its program; returns its
    /// registers.
    #[inline]
    fn go_on(&mut self, mut running: bool) -> *mut Registers {
        self.hear();
        if self.disks.busy() {
            self.disks.poll(&mut self.threads);
        }
        while !running {
            running = match self.threads.run_next() {
                Ok(State::Restart) => self.answer(),
                Ok(State::Ready | State::Asleep(..)) => true,
                Err(deadline) => {
                    self.wait(deadline);
                    self.hear();
                    false
                }
            };
        }
        if self.disks.busy() {
            self.disks.ring();
        }
        if self.signals.pending != 0 {
            let blocked = self.threads.current().blocked;
            self.signals.claim(&mut self.threads, !blocked);
        }
        if self.threads.current().next_signal().is_some() {
            self.take_signals();
        }
        let timer = self.signals.timers.next().is_some();
        let input = self.files.input == Input::Wanted;
        let device = self.net.has_device() || self.disks.busy();
        arch::want_turn(self.threads.anybody_waits() || input || timer || device);
        &raw mut *self.threads.current().registers
    }

    /// Makes the current thread's call. Returns true if the thread can continue.
    #[inline]
    fn answer(&mut self) -> bool {
        let registers = &self.threads.current().registers;
        if memory::has_pending_mprotect() && registers.number() != u64::from(__NR_mprotect) {
            memory::flush_pending_mprotect();
        }
        let (handler, arguments) = (table::handler(registers.number()), Arguments(registers.arguments()));
        let answer = handler(self, arguments);
        self.conclude(answer)
    }

    #[inline]
    fn conclude(&mut self, answer: SyscallResult) -> bool {
        let result = match answer {
            Ok(value) => value as i64,
            // Some calls end with EINTR on any signal, but another thread may be the one to take it.
            Err(Stop::Errno(Errno::EINTR)) => return self.interrupted(),
            Err(Stop::Errno(errno)) => errno.to_result(),
            Err(Stop::Block(sleep)) => {
                let thread = self.threads.current();
                // The signal arrived while the call was about to be restarted.
                let interrupted = thread.next_signal().is_some();
                if interrupted {
                    thread.interrupt()
                } else {
                    self.threads.sleep(sleep)
                }
                return interrupted;
            }
            Err(Stop::Gone) => {
                self.threads.end_current();
                return false;
            }
        };
        self.threads.current().end_call(result);
        true
    }

    /// Leaves the guest until `deadline`, until an event that threads wait for, or until a signal arrives. If none of these can
    /// ever occur, the program ends here.
    fn wait(&mut self, deadline: Option<u64>) {
        let before = husk::clock::monotonic_ns();
        self.leave_until(deadline);
        let waited = husk::clock::monotonic_ns().saturating_sub(before);
        processor_time::waited(waited);
        self.signals.timers.slept(waited);
    }

    fn leave_until(&mut self, deadline: Option<u64>) {
        let input = self.files.input == Input::Wanted;
        let deadline = deadline.into_iter().chain(self.signals.timers.next_in_sleep()).min();
        let expected = input || self.net.expects() || self.disks.busy();
        if deadline.is_none() && !expected && !self.signals_expected() {
            husk::process::deadlock();
        }
        let deadline = deadline.unwrap_or(u64::MAX);
        if self.disks.busy() {
            return self.wait_for_disks(input, deadline);
        }
        if let Some(device) = self.net.device() {
            if device.wait(input, deadline) {
                self.change(|files, _| files.input_arrived());
            }
            return self.poll_network();
        }
        if input {
            self.wait_for_input(deadline);
        } else {
            // The result carries no information: the caller checks the time itself.
            let _ = husk::gate::call(Number::Wait, deadline, 0, 0, 0);
        }
    }

    /// Waits for the deadline or an event while requests to disks are in progress, with or without a network.
    fn wait_for_disks(&mut self, input: bool, deadline: u64) {
        let news = if input { News::INPUT } else { News::empty() };
        let arrived = match self.net.device() {
            // The device's wait ends on an event of any device.
            Some(device) => self.disks.are_quiet() && device.wait(input, deadline),
            None => husk::wait::any(&mut self.disks.sources(), news, deadline).contains(News::INPUT),
        };
        if arrived {
            self.change(|files, _| files.input_arrived());
        }
        self.disks.poll(&mut self.threads);
        if self.net.has_device() {
            self.poll_network();
        }
    }

    fn wait_for_input(&mut self, deadline: u64) {
        if husk::console::wait_for_input(deadline) {
            self.change(|files, _| files.input_arrived());
        }
    }

    /// Checks at intervals for input that a thread waits for while others run.
    fn look_for_input(&mut self) {
        let now = husk::clock::monotonic_ns();
        if self.files.input == Input::Wanted && now.saturating_sub(self.looked) >= INPUT_INTERVAL {
            self.looked = now;
            self.wait_for_input(0);
        }
    }

    /// Posts signals that are due to the program.
    #[inline]
    fn hear(&mut self) {
        self.signals.hear(&mut self.threads);
        if self.files.has_signal_files() {
            self.files.signals_pending(self.signals.pending | self.threads.all_blocked());
            self.settle();
        }
    }

    /// Delivers the signals of the current thread, which is about to return to its program, or ends the program.
    #[cold]
    fn take_signals(&mut self) {
        files::give_up_opening(self);
        if let Some(signal) = self.signals.deliver(&mut self.threads) {
            self.drain_network();
            signals::end(signal)
        }
    }

    /// Ends the current thread's call if a signal is about to interrupt it, and then returns true; otherwise restarts the call.
    fn interrupted(&mut self) -> bool {
        self.hear();
        let thread = self.threads.current();
        let interrupted = thread.next_signal().is_some();
        if interrupted {
            thread.interrupt()
        } else {
            self.threads.restart_call()
        }
        interrupted
    }

    /// Returns true if a signal is pending, or the program counts on one.
    fn signals_expected(&mut self) -> bool {
        arch::signals_told() || self.signals.awaited(self.files.signals_of_files()) || self.threads.any(signals::waits)
    }
}

/// Handles the system call of the current thread, after the entry has saved its registers, and returns the registers of the
/// thread to run, which may be another.
pub extern "sysv64" fn husk_system_call() -> *mut Registers {
    match LIBOS.lock().as_mut() {
        Some(libos) => libos.system_call(),
        None => unreachable!("a system call before the program has started"),
    }
}

/// Continues after the tender has stopped the current thread at `rip`, with these flags and this stack pointer; the entry has
/// saved its general registers. Returns the registers of the thread to run.
pub extern "sysv64" fn husk_turn_is_over(rip: u64, flags: u64, stack: u64) -> *mut Registers {
    match LIBOS.lock().as_mut() {
        Some(libos) => libos.turn_over(rip, flags, stack),
        None => unreachable!("a turn before the program has started"),
    }
}
