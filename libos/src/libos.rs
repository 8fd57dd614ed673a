//! Path of a system call through the libos, and waits when no thread can run.
//!
//! **The lock.** [`LIBOS`] owns all state of the libos, except for its memory. The rules:
//!
//! 1. Program code runs without it. The entry saves the registers of the thread that the processor's own block names, then takes it;
//!    the registers that come back are those of a thread that only this processor runs.
//! 2. It is let go before a wait in the gate. A processor without a thread to run prepares its wait with the lock, polls or leaves
//!    without it, and takes the news with it (`wait`). So does the end of the program, while the network sends what it was given.
//!    A call on a folder polls with it, for as long as such a wait polls, while no other thread is ready ([`crate::folders`]).
//!    Calls on the console, which wait for the reader or the writer at the other end, are made without it ([`crate::console`]).
//! 3. The memory has a lock of its own, which is taken last: code that holds it calls nothing of the libos.
//! 4. Nothing enters the libos while it runs on the same processor: the tender preempts only threads (`in_libos` of the processor's
//!    block is 0), and posts signals to a record, which is read between two calls.
//! 5. Of each processor are its block ([`crate::arch`]), and the current thread, its slice and the loaded vector state
//!    ([`crate::threads`]). Only the processor itself changes them, with the lock held.
//!
//! The tests of system calls run with a tender's stand-in that refuses a wait while the lock is held (`tests/fuzz`).

use crate::arch::{self, Registers};
use crate::console::Console;
use crate::errno::Errno;
use crate::fs::device::Input;
use crate::idle::Idle;
use crate::memory;
use crate::processor_time;
use crate::signals;
use crate::state::{End, Libos};
use crate::syscall_result::{Stop, SyscallResult};
use crate::syscalls::{Arguments, files, table, transfer};
use crate::threads::State;
use core::ptr::NonNull;
use husk::abi::call::News;
use husk::abi::fault::TENDER_ERROR;
use linux_raw_sys::general::__NR_mprotect;
use spin::Mutex;

/// Number of expired time slices per random change of the order of turns, on average.
const SHUFFLE: u8 = 4;

/// Lock of the libos: see the head of this file.
pub static LIBOS: Mutex<Option<Libos>> = Mutex::new(None);

/// Interval of the checks for input that a thread waits for while others run, in nanoseconds.
const INPUT_INTERVAL: u64 = 10_000_000;

impl Idle {
    /// Waits without the lock, and takes the news. Returns the registers to load; `None` if no thread can run yet.
    fn wait_for_news(mut self) -> Option<NonNull<Registers>> {
        while self.wait.news().is_none() {
            self.wait.block();
            if self.wait.is_unarmed() {
                locked(|libos| libos.with_sources(|sources| self.wait.arm(sources)));
            }
        }
        locked(|libos| libos.end_wait(&self))
    }
}

impl Libos {
    /// Call of this processor on the console.
    #[inline]
    fn console(&mut self) -> &mut Console {
        let [console] = &mut self.consoles;
        console
    }

    /// Handles the current thread's call. Returns the registers to load; `None` if no thread can run.
    fn system_call(&mut self) -> Option<NonNull<Registers>> {
        if self.folders.has_calls() {
            // A signal may have ended the thread's last call before it had made use of all replies.
            self.folders.forget(self.threads.current().id);
        }
        let mut running = self.answer();
        if running && self.threads.turn_is_over() {
            self.threads.put_last();
            running = false;
        }
        self.go_on(running)
    }

    /// Ends the current thread's slice, and runs another thread, if one is ready.
    fn preempted(&mut self, pc: u64, flags: u64, stack: u64) -> Option<NonNull<Registers>> {
        self.threads.current().registers.stopped(pc, flags, stack);
        self.look_for_input();
        if self.net.is_due(husk::clock::monotonic_ns()) {
            self.poll_network();
        }
        if self.folders.busy() {
            self.folders.ring_all();
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

    /// Unless the current thread continues, restarts waiting calls until a thread can return to its program. Returns its
    /// registers; `None` if none can.
    #[inline]
    fn go_on(&mut self, running: bool) -> Option<NonNull<Registers>> {
        self.poll_signals();
        if self.disks.busy() {
            self.disks.poll(&mut self.threads);
        }
        if self.folders.busy() {
            self.folders.poll(&mut self.threads);
        }
        if (!running || self.ending.is_some()) && !self.run_another() {
            return None;
        }
        if self.disks.busy() {
            self.disks.ring();
        }
        if self.folders.busy() {
            self.folders.ring();
        }
        self.folders.program_runs();
        self.claim_signals();
        if self.threads.current().next_signal().is_some() {
            self.take_signals();
            if self.ending.is_some() {
                self.drain();
                return None;
            }
        }
        let timer = self.signals.timers.next().is_some();
        let input = self.files.input == Input::Wanted;
        let device = self.net.has_device() || self.disks.busy() || self.folders.busy();
        arch::set_need_resched(self.threads.anybody_waits() || input || timer || device);
        Some(NonNull::from(&mut *self.threads.current().registers))
    }

    /// Restarts waiting calls until a thread can return to its program. Returns false if none can.
    #[inline(never)]
    fn run_another(&mut self) -> bool {
        loop {
            if self.console().is_called() {
                return self.interrupts_console();
            }
            if self.ending.is_some() {
                self.drain();
                return false;
            }
            let running = match self.threads.run_next() {
                Some(State::Restart) => self.answer_again(),
                Some(State::Ready | State::Asleep(..)) => true,
                None => return false,
            };
            if running {
                self.give_back();
                return true;
            }
        }
    }

    /// Ends the machine, unless data is on its way to the network or to a disk.
    #[cold]
    fn drain(&mut self) {
        if self.net.has_device() {
            self.poll_network();
        }
        match self.ending {
            Some((_, ended)) if self.net.drains_until(ended).is_some() || self.folders.unmount() => {}
            Some((End::Signal(signal), _)) => signals::end(signal),
            Some((End::Exit(0), _)) if self.folders.is_broken() => husk::process::exit(TENDER_ERROR),
            Some((End::Exit(status), _)) => husk::process::exit(status),
            None => {}
        }
    }

    /// Makes the current thread's call. Returns true if the thread can continue.
    #[inline]
    fn answer(&mut self) -> bool {
        if self.has_identities {
            self.take_caller();
        }
        let registers = &self.threads.current().registers;
        if memory::has_pending_mprotect() && registers.number() != u64::from(__NR_mprotect) {
            memory::flush_pending_mprotect();
        }
        let (handler, arguments) = (table::handler(registers.number()), Arguments(registers.arguments()));
        let was_watched = self.files.is_watched();
        let answer = handler(self, arguments);
        // The last watch may have ended with the call, whose events wake threads.
        if was_watched || self.files.is_watched() {
            self.settle();
        }
        if self.folders.has_calls() {
            self.folders.stopped(self.threads.current().id, matches!(answer, Err(Stop::Block(_) | Stop::Gate)));
        }
        self.conclude(answer)
    }

    /// Restarts the current thread's call, with the file that it was made with.
    fn answer_again(&mut self) -> bool {
        self.files.descriptors.keep(self.threads.current().file);
        let running = self.answer();
        self.files.descriptors.keep(None);
        running
    }

    /// Keeps the file of the current thread's call, which is about to wait: its descriptor may be closed meanwhile.
    #[cold]
    fn keep_file(&mut self) {
        let thread = self.threads.current();
        let (number, arguments) = (thread.registers.number(), Arguments(thread.registers.arguments()));
        if thread.file.is_none() && table::waits_for_descriptor(number) {
            let Arguments([first, ..]) = arguments;
            thread.file = self.files.keep(first as i32);
        }
        if let Some(kept) = thread.file
            && transfer::uses_offset(number, arguments)
        {
            self.files.take_turn(kept, thread.id);
        }
    }

    /// Ends the current thread's call, which is about to call the gate, if a signal interrupts it, and then returns true: the signal
    /// has left the tender's record already, so the tender would wait in spite of it.
    #[cold]
    fn interrupts_console(&mut self) -> bool {
        self.claim_signals();
        let interrupted = self.threads.current().next_signal().is_some();
        if interrupted {
            self.console().take_call();
            self.threads.current().interrupt();
            self.give_back();
        }
        interrupted
    }

    /// Gives back the file of the current thread's call, which has waited and is over.
    #[cold]
    fn give_back(&mut self) {
        let thread = self.threads.current();
        if let Some(kept) = thread.file.take() {
            let thread = thread.id;
            self.change(|files, _| files.give_back(kept, thread));
        }
    }

    /// Restarts the current thread's call with the result of its call of the gate. Returns the registers to load, as
    /// [`Libos::system_call`].
    fn console_returned(&mut self, result: Result<u64, Errno>) -> Option<NonNull<Registers>> {
        self.console().returned(Some(result));
        let running = self.answer_again();
        self.console().returned(None);
        if running {
            // A call that has transferred enough ends without the next call of the gate, which it has prepared.
            self.console().take_call();
            self.give_back();
        }
        self.go_on(running)
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
                    self.keep_file();
                    self.threads.sleep(sleep)
                }
                return interrupted;
            }
            Err(Stop::Gate) => {
                self.keep_file();
                return false;
            }
            Err(Stop::Gone) => {
                self.threads.end_current();
                return false;
            }
        };
        self.threads.current().end_call(result);
        true
    }

    /// Takes the news after a wait. Returns the registers to load; `None` if no thread can run yet.
    fn end_wait(&mut self, idle: &Idle) -> Option<NonNull<Registers>> {
        let waited = husk::clock::monotonic_ns().saturating_sub(idle.since);
        processor_time::waited(waited);
        self.signals.timers.slept(waited);
        if idle.wait.news().is_some_and(|news| news.contains(News::INPUT)) {
            self.change(|files, _| files.input_arrived());
        }
        if self.net.has_device() {
            self.poll_network();
        }
        self.go_on(false)
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

    /// Lets the current thread take pending signals of the program that it does not block.
    #[inline]
    fn claim_signals(&mut self) {
        if self.signals.pending != 0 {
            let blocked = self.threads.current().blocked;
            self.signals.claim(&mut self.threads, !blocked);
        }
    }

    /// Posts signals that are due to the program.
    #[inline]
    fn poll_signals(&mut self) {
        self.signals.poll(&mut self.threads);
        if self.signals.fatal.is_some() {
            self.end_by_signal();
        }
        if self.files.has_signal_files() {
            self.files.signals_pending(self.signals.pending | self.threads.all_blocked());
            self.settle();
        }
    }

    /// Ends the program by a signal to a thread that waits for a device.
    #[cold]
    fn end_by_signal(&mut self) {
        if let (Some(signal), None) = (self.signals.fatal, self.ending) {
            self.end(End::Signal(signal));
        }
    }

    /// Delivers the signals of the current thread, which is about to return to its program, or ends the program.
    #[cold]
    fn take_signals(&mut self) {
        files::give_up_opening(self);
        if let Some(signal) = self.signals.deliver(&mut self.threads) {
            self.end(End::Signal(signal));
        }
    }

    /// Ends the current thread's call if a signal is about to interrupt it, and then returns true; otherwise restarts the call.
    fn interrupted(&mut self) -> bool {
        self.poll_signals();
        let thread = self.threads.current();
        let interrupted = thread.next_signal().is_some();
        if interrupted {
            thread.interrupt()
        } else {
            self.threads.restart_call()
        }
        interrupted
    }
}

/// Handles the system call of the current thread, after the entry has saved its registers, and returns the registers of the
/// thread to run, which may be another.
pub extern "sysv64" fn husk_system_call() -> *mut Registers {
    system_call()
}

/// See [`husk_system_call`].
#[inline]
pub fn system_call() -> *mut Registers {
    run(locked(Libos::system_call))
}

/// Continues after the tender has stopped the current thread at `pc`, with these flags and this stack pointer; the entry has
/// saved its general registers. Returns the registers of the thread to run.
pub extern "sysv64" fn husk_preempted_thread(pc: u64, flags: u64, stack: u64) -> *mut Registers {
    run(locked(|libos| libos.preempted(pc, flags, stack)))
}

/// Runs libos code, with the lock.
#[inline]
fn locked<T>(code: impl FnOnce(&mut Libos) -> T) -> T {
    match LIBOS.lock().as_mut() {
        Some(libos) => code(libos),
        None => unreachable!("a call before the program has started"),
    }
}

/// Returns the registers to load; waits until there are any.
#[inline]
fn run(registers: Option<NonNull<Registers>>) -> *mut Registers {
    registers.unwrap_or_else(wait).as_ptr()
}

/// Leaves the guest without the lock until a thread can run, and returns its registers.
#[cold]
fn wait() -> NonNull<Registers> {
    loop {
        let registers = match locked(|libos| libos.console().take_call()) {
            Some(call) => {
                let result = call.make();
                locked(|libos| libos.console_returned(result))
            }
            None => locked(Libos::begin_wait).wait_for_news(),
        };
        if let Some(registers) = registers {
            return registers;
        }
    }
}
