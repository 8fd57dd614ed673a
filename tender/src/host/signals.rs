//! Signals that are sent to the tender; [`husk_abi::signals`] describes how a guest gets them.
//!
//! The handler records the signal and stops the guest's processor, or keeps it from starting. No signal is lost in between,
//! because other waits go through [`wait`]. A guest that does not end within its grace period is ended by the handler itself,
//! so that no work of the tender can delay that.

#![expect(unsafe_code, reason = "signal handlers, and the byte that keeps a virtual processor from running")]

mod mask;
pub mod number;
mod sentinel;
mod supervised;
mod thread;
mod timer;

pub use mask::{all, change_mask};
pub use sentinel::{Duty, STAND_INS, leave_to_sentinel};
pub use supervised::{forwarded, original, sender, take_from};
use supervised::{from_supervisor, passed_on};
pub use thread::Thread;
pub use timer::Timer;

use crate::host::time::time_until;
use crate::host::{streams, terminal};
use husk_abi::fault;
use husk_abi::signals::{FORWARDED, QUIT, STOP, WINDOW_CHANGE, bit};
use std::io;
use std::ptr::{self, NonNull, null, null_mut};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64};

/// Interval at which the grace period is checked, in milliseconds. Each tick also interrupts a blocking system call, so that a
/// signal takes effect even if it arrived just before the tender blocked in a write of the guest's output.
const TICK_MS: u64 = 100;

/// Signals that have arrived and were not taken, bit n-1 for signal n.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// Byte that keeps the virtual processor from running, if there is one.
static HALT: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// Signal that began the grace period, or 0.
static STOPPED_BY: AtomicI32 = AtomicI32::new(0);
/// Rest of the grace period, in ticks.
static GRACE: AtomicU64 = AtomicU64::new(0);

/// True once the guest's time was up.
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);

/// Receives signals from now on, except those that were ignored when husk was started. A guest has `grace_s`
/// seconds to end after the first signal of [`STOP`].
pub fn receive(grace_s: u64) {
    GRACE.store(grace_s.saturating_mul(1000 / TICK_MS), Relaxed);
    let action = action(arrived);
    // The supervisor does not pass on signals that were ignored.
    for signal in from_supervisor() {
        // SAFETY: the handler uses nothing but atomics and system calls.
        unsafe { libc::sigaction(signal, &action, null_mut()) };
    }
    for signal in received().filter(|signal| sender().is_none() || is_own(*signal)) {
        // SAFETY: all zeros is a valid value.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the handler uses nothing but atomics and system calls.
        unsafe { libc::sigaction(signal, &action, &mut before) };
        // SIGQUIT is received in any case: a shell has background jobs ignore it too, but here it ends no process.
        if before.sa_sigaction == libc::SIG_IGN && signal != QUIT as i32 {
            // SAFETY: restores the action that the call before returned.
            unsafe { libc::sigaction(signal, &before, null_mut()) };
        }
    }
}

/// Returns true for signals that the tender sends to itself.
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
/// The handler is async-signal-safe (signal-safety(7)).
pub unsafe fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> io::Result<()> {
    // SAFETY: this function requires an async-signal-safe handler.
    let result = unsafe { libc::sigaction(signal, &action(handler), null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes SIGXCPU, from now on, as the end of the guest's time.
pub fn receive_time_is_up() -> io::Result<()> {
    // SAFETY: the handler uses nothing but atomics and system calls.
    unsafe { handle(libc::SIGXCPU, arrived) }
}

/// Returns true if the guest's time was up.
pub fn time_is_up() -> bool {
    TIME_IS_UP.load(Relaxed)
}

/// Keeps the processor from running, or stops it soon. For signal handlers.
pub fn halt() {
    set_halt(1);
}

fn set_halt(value: u8) {
    if let Some(halt) = NonNull::new(HALT.load(Relaxed)) {
        // SAFETY: the byte outlives the `Halt` that set the pointer, as `Halt::new` requires;
        // only this thread and the processor use the byte.
        unsafe { halt.write_volatile(value) };
    }
}

/// Signals for which there may be a handler.
pub fn handled() -> impl Iterator<Item = libc::c_int> {
    received().chain(stand_ins()).chain(from_supervisor()).chain([number::TURN, number::SHARE, libc::SIGXCPU])
}

fn received() -> impl Iterator<Item = libc::c_int> {
    passed_on().chain([libc::SIGALRM, number::FAULT])
}

fn stand_ins() -> impl Iterator<Item = libc::c_int> {
    STAND_INS.into_iter().map(|(stand_in, _)| stand_in)
}

/// Set of the signals that are received.
fn set() -> libc::sigset_t {
    // SAFETY: all zeros is a valid value.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a variable of ours.
    unsafe { libc::sigemptyset(&mut set) };
    for signal in received().chain(stand_ins()).chain(from_supervisor()) {
        // SAFETY: the set is a variable of ours, and the signals exist.
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

/// Ends the process because of `signal`, with a message if standard error takes it without blocking.
fn end(signal: libc::c_int) -> ! {
    streams::write_at_once(b"husk: the guest was told to end and did not: it has been ended\n");
    terminal::restore();
    let status = if time_is_up() { fault::TIME_IS_UP.into() } else { 128 + signal };
    // SAFETY: _exit(2) has no conditions.
    unsafe { libc::_exit(status) }
}

/// Returns true if a signal has arrived.
pub fn any() -> bool {
    ARRIVED.load(Relaxed) != 0
}

/// Entry of poll(2) for a file to become readable; a negative number is no file.
pub fn readable(fd: libc::c_int) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// Entry of poll(2) for the guest's input, if `wanted`.
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
        // SAFETY: the count is the length of `files`; the time and the set, in which our
        // signals are unblocked, are variables of ours.
        unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, &before) };
    }
    // SAFETY: the set is a variable of ours.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, null_mut()) };
}

/// Keeps a guest's processor from running when a signal has arrived; at most one per process.
#[derive(Debug)]
pub struct Halt(());

impl Halt {
    /// Creates a halt that uses `byte` from now on.
    ///
    /// # Safety
    ///
    /// The byte outlives the returned value.
    pub unsafe fn new(byte: NonNull<u8>) -> Self {
        HALT.store(byte.as_ptr(), Relaxed);
        Self(())
    }

    /// Lets the processor run again, unless a signal has arrived.
    pub fn let_run(&self) {
        set_halt(0);
        // In this order: a signal in between stops the processor, here or in its handler.
        if any() {
            self::halt();
        }
    }

    /// Takes the signals that have arrived, and lets the processor run again.
    pub fn take(&self) -> u64 {
        set_halt(0);
        // In this order: a signal in between is taken now, and stops the processor once more without effect.
        ARRIVED.swap(0, Relaxed)
    }
}

impl Drop for Halt {
    fn drop(&mut self) {
        HALT.store(null_mut(), Relaxed);
    }
}

/// Returns those of `signals` that are passed on to a guest.
pub fn for_guest(signals: u64) -> u64 {
    FORWARDED.into_iter().fold(0, |kept, signal| kept | signals & bit(signal))
}

/// Returns the first of `signals` that ends a guest which takes no signals.
pub fn fatal(signals: u64) -> Option<u32> {
    FORWARDED.into_iter().find(|signal| *signal != WINDOW_CHANGE && signals & bit(*signal) != 0)
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
