//! How long the program, and each of its threads, has had the processor: all the time in which not all of them waited.
//!
//! Read by the vDSO, too, without a lock. What a thread has had is kept account of from when a program first asks for that
//! of any: to look at the clock whenever threads change would cost every program.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Monotonic time less what the program has had.
static WITHOUT_PROGRAM: AtomicU64 = AtomicU64::new(0);
/// What the program has had less what the current thread has.
static WITHOUT_THREAD: AtomicU64 = AtomicU64::new(0);
/// Whether that is kept.
static ASKED: AtomicBool = AtomicBool::new(false);

/// The program starts at this monotonic time.
pub fn start(now_ns: u64) {
    WITHOUT_PROGRAM.store(now_ns, Relaxed);
}

/// All threads have waited for so long.
pub fn waited(ns: u64) {
    WITHOUT_PROGRAM.fetch_add(ns, Relaxed);
}

/// What the program has had, in nanoseconds.
pub fn of_program() -> u64 {
    husk::clock::monotonic_ns().saturating_sub(WITHOUT_PROGRAM.load(Relaxed))
}

/// What the current thread has had, in nanoseconds.
pub fn of_thread() -> u64 {
    ASKED.store(true, Relaxed);
    loop {
        let without = WITHOUT_THREAD.load(Relaxed);
        let of_program = of_program();
        // Else it has lost the processor in between.
        if WITHOUT_THREAD.load(Relaxed) == without {
            return of_program.saturating_sub(without);
        }
    }
}

/// What a thread has had that loses the processor now, if anybody asked: to be given to [`go_on`] when it gets it again.
#[inline]
pub fn stop() -> Option<u64> {
    ASKED.load(Relaxed).then(|| of_program().saturating_sub(WITHOUT_THREAD.load(Relaxed)))
}

/// Now the current thread is one that has had so much.
#[inline]
pub fn go_on(of_thread: u64) {
    if ASKED.load(Relaxed) {
        WITHOUT_THREAD.store(of_program().saturating_sub(of_thread), Relaxed);
    }
}
