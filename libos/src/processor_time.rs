//! Processor time of the program, and of each thread: the time in which not all threads waited.
//!
//! The vDSO reads it, too, without a lock. The time of threads is counted from when a program first asks for that of any
//! thread, because reading the clock on every thread switch would cost every program.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Monotonic time less the program's processor time.
static WITHOUT_PROGRAM: AtomicU64 = AtomicU64::new(0);
/// Processor time of the program less that of the current thread.
static WITHOUT_THREAD: AtomicU64 = AtomicU64::new(0);
/// True if the time of threads is counted.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts the program's time at this monotonic time.
pub fn start(now_ns: u64) {
    WITHOUT_PROGRAM.store(now_ns, Relaxed);
}

/// Accounts for `ns` nanoseconds in which all threads have waited.
pub fn waited(ns: u64) {
    WITHOUT_PROGRAM.fetch_add(ns, Relaxed);
}

/// Processor time of the program, in nanoseconds.
pub fn of_program() -> u64 {
    husk::clock::monotonic_ns().saturating_sub(WITHOUT_PROGRAM.load(Relaxed))
}

/// Processor time of the current thread, in nanoseconds.
pub fn of_thread() -> u64 {
    ASKED.store(true, Relaxed);
    loop {
        let without = WITHOUT_THREAD.load(Relaxed);
        let of_program = of_program();
        // Otherwise a thread switch has occurred in between.
        if WITHOUT_THREAD.load(Relaxed) == without {
            return of_program.saturating_sub(without);
        }
    }
}

/// Processor time of a thread that is about to lose the processor, if counted: for [`go_on`] when it gets the processor again.
#[inline]
pub fn stop() -> Option<u64> {
    ASKED.load(Relaxed).then(|| of_program().saturating_sub(WITHOUT_THREAD.load(Relaxed)))
}

/// Sets the processor time of the current thread.
#[inline]
pub fn go_on(of_thread: u64) {
    if ASKED.load(Relaxed) {
        WITHOUT_THREAD.store(of_program().saturating_sub(of_thread), Relaxed);
    }
}
