//! Signals that are sent to the tender; what a guest hears of them is in [`husk_abi::signals`].
//!
//! The handler notes what arrived and sees to it that the guest's processor stops, or does not start. Nothing is lost
//! in between: whoever waits elsewhere does so through [`wait`]. A guest that has been told to end and does not is ended
//! by the handler itself, so that nothing the tender may be doing can stand in the way.

#![expect(unsafe_code, reason = "signal handlers, and the byte that keeps a virtual processor from running")]

mod mask;
pub mod number;
mod sentinel;
mod supervised;
mod timer;

pub use mask::{all, change_mask};
pub use sentinel::{Duty, STAND_INS, leave_to_sentinel};
pub use supervised::{forwarded, original, sender, take_from};
use supervised::{from_supervisor, passed_on};
pub use timer::Timer;

use crate::streams;
use crate::time::time_until;
use husk_abi::fault;
use husk_abi::signals::{QUIT, STOP, TOLD, WINDOW_CHANGE, bit};
use std::io;
use std::ptr::{self, NonNull, null, null_mut};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64};

/// How often the time of grace is looked at, in milliseconds. Each look interrupts a system call that waits, too: so a
/// signal is heard even if it came just before the tender began to wait for somebody to read the guest's output.
const TICK_MS: u64 = 100;

/// What has arrived and was not taken, bit n-1 for signal n.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// The byte that keeps the virtual processor from running, if there is one.
static HALT: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// The signal that began the time of grace, or 0.
static STOPPED_BY: AtomicI32 = AtomicI32::new(0);
/// What is left of the time of grace, in ticks.
static GRACE: AtomicU64 = AtomicU64::new(0);

/// The guest's time was up.
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);

/// Receives signals from now on, but for those that whoever started us has ignored. A guest has `grace_s` seconds to end
/// after the first signal of [`STOP`].
pub fn receive(grace_s: u64) {
    GRACE.store(grace_s.saturating_mul(1000 / TICK_MS), Relaxed);
    let action = action(arrived);
    // Those that were ignored are not passed on.
    for signal in from_supervisor() {
        // SAFETY: the handler uses nothing but atomics and system calls.
        unsafe { libc::sigaction(signal, &action, null_mut()) };
    }
    for signal in received().filter(|signal| sender().is_none() || is_own(*signal)) {
        // SAFETY: all zeros is a valid value.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the handler uses nothing but atomics and system calls.
        unsafe { libc::sigaction(signal, &action, &mut before) };
        // A shell has background jobs ignore SIGQUIT too, which here ends nobody.
        if before.sa_sigaction == libc::SIG_IGN && signal != QUIT as i32 {
            // SAFETY: what it was.
            unsafe { libc::sigaction(signal, &before, null_mut()) };
        }
    }
}

/// Whether the tender sends it to itself.
fn is_own(signal: libc::c_int) -> bool {
    [libc::SIGALRM, number::FAULT].contains(&signal)
}

fn action(handler: extern "C" fn(libc::c_int)) -> libc::sigaction {
    // SAFETY: all zeros is a valid value: default flags, so system calls are interrupted, and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_mask = set();
    action
}

/// Has a signal handled.
///
/// # Safety
///
/// The handler does nothing that a handler must not do (signal-safety(7)).
pub unsafe fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> io::Result<()> {
    // SAFETY: the caller vouches for the handler.
    let result = unsafe { libc::sigaction(signal, &action(handler), null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes SIGXCPU, from now on, to say that the guest's time is up.
pub fn receive_time_is_up() -> io::Result<()> {
    // SAFETY: the handler uses nothing but atomics and system calls.
    unsafe { handle(libc::SIGXCPU, arrived) }
}

/// Whether the guest's time was up.
pub fn time_is_up() -> bool {
    TIME_IS_UP.load(Relaxed)
}

/// Keeps the processor from running, or stops it soon. For handlers of signals.
pub fn halt() {
    set_halt(1);
}

fn set_halt(value: u8) {
    if let Some(halt) = NonNull::new(HALT.load(Relaxed)) {
        // SAFETY: `Halt::new`'s caller vouched for the byte, which only this thread and the processor use.
        unsafe { halt.write_volatile(value) };
    }
}

/// All signals for which there may be a handler.
pub fn handled() -> impl Iterator<Item = libc::c_int> {
    received().chain(stand_ins()).chain(from_supervisor()).chain([number::TURN, number::SHARE, libc::SIGXCPU])
}

fn received() -> impl Iterator<Item = libc::c_int> {
    passed_on().chain([libc::SIGALRM, number::FAULT])
}

fn stand_ins() -> impl Iterator<Item = libc::c_int> {
    STAND_INS.into_iter().map(|(stand_in, _)| stand_in)
}

/// The signals that are received.
fn set() -> libc::sigset_t {
    // SAFETY: all zeros is a valid value.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours.
    unsafe { libc::sigemptyset(&mut set) };
    for signal in received().chain(stand_ins()).chain(from_supervisor()) {
        // SAFETY: as above; the signals exist.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

extern "C" fn arrived(signal: libc::c_int) {
    if signal == libc::SIGALRM {
        let first = STOPPED_BY.load(Relaxed);
        if first != 0 && GRACE.fetch_sub(1, Relaxed) <= 1 {
            end(first);
        }
        return;
    }
    let signal = match original(signal) {
        libc::SIGXCPU => {
            TIME_IS_UP.store(true, Relaxed);
            libc::SIGTERM
        }
        signal => STAND_INS.into_iter().find(|(stand_in, _)| *stand_in == signal).map_or(signal, |(_, stop)| stop),
    };
    if STOP.contains(&(signal as u32)) {
        let only = STOPPED_BY.compare_exchange(0, signal, Relaxed, Relaxed).is_ok();
        if !only || GRACE.load(Relaxed) == 0 {
            end(signal);
        }
        let tick = libc::timeval { tv_sec: 0, tv_usec: TICK_MS as libc::c_long * 1000 };
        // SAFETY: the times are a variable of ours.
        unsafe {
            libc::setitimer(libc::ITIMER_REAL, &libc::itimerval { it_interval: tick, it_value: tick }, null_mut())
        };
    }
    ARRIVED.fetch_or(bit(signal as u32), Relaxed);
    halt();
}

/// Ends the process because of `signal`, saying so if that can be done without waiting.
fn end(signal: libc::c_int) -> ! {
    streams::write_at_once(b"husk: the guest was told to end and did not: it has been ended\n");
    let status = if time_is_up() { fault::TIME_IS_UP.into() } else { 128 + signal };
    // SAFETY: has no conditions.
    unsafe { libc::_exit(status) }
}

/// Whether something has arrived.
pub fn any() -> bool {
    ARRIVED.load(Relaxed) != 0
}

/// A file to wait for until it can be read; a negative number is none.
pub fn readable(fd: libc::c_int) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// The guest's input, if that is to be waited for.
pub fn input(wanted: bool) -> libc::pollfd {
    readable(if wanted { libc::STDIN_FILENO } else { -1 })
}

/// Waits until the monotonic clock reaches `deadline_ns`, one of `files` is ready, or a signal arrives; not at all if
/// one has arrived.
pub fn wait(files: &mut [libc::pollfd], deadline_ns: u64) {
    let timeout = time_until(deadline_ns);
    let timeout = timeout.as_ref().map_or(null(), ptr::from_ref);
    // SAFETY: all zeros is a valid value.
    let mut before = unsafe { std::mem::zeroed() };
    // SAFETY: both sets are variables of ours.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set(), &mut before) };
    if !any() {
        // SAFETY: `files` has as many entries; the time and the set, in which our signals are open, are variables.
        unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, &before) };
    }
    // SAFETY: the set is a variable of ours.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, null_mut()) };
}

/// Keeps a guest's processor from running when a signal has arrived; one at a time in a process.
#[derive(Debug)]
pub struct Halt(());

impl Halt {
    /// Does so through `byte` from now on.
    ///
    /// # Safety
    ///
    /// The byte outlives this.
    pub unsafe fn new(byte: NonNull<u8>) -> Self {
        HALT.store(byte.as_ptr(), Relaxed);
        Self(())
    }

    /// Lets the processor run again, unless a signal has arrived.
    pub fn let_run(&self) {
        set_halt(0);
        // In this order: what arrives in between stops the processor, here or in its handler.
        if any() {
            self::halt();
        }
    }

    /// Takes what has arrived, and lets the processor run again.
    pub fn take(&self) -> u64 {
        set_halt(0);
        // In this order: what arrives in between is taken now, and stops the processor once more for nothing.
        ARRIVED.swap(0, Relaxed)
    }
}

impl Drop for Halt {
    fn drop(&mut self) {
        HALT.store(null_mut(), Relaxed);
    }
}

/// Those of these signals of which a guest is told.
pub fn told(signals: u64) -> u64 {
    TOLD.into_iter().fold(0, |told, signal| told | signals & bit(signal))
}

/// The first of these signals that ends a guest which does not take any.
pub fn fatal(signals: u64) -> Option<u32> {
    TOLD.into_iter().find(|signal| *signal != WINDOW_CHANGE && signals & bit(*signal) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_window_ends_nobody() {
        assert_eq!(fatal(bit(WINDOW_CHANGE)), None);
        assert_eq!(fatal(bit(WINDOW_CHANGE) | bit(15)), Some(15));
        assert_eq!(fatal(bit(QUIT)), None);
    }
}
