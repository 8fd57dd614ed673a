//! Timers of the kernel that send signals (timer_create(2)).

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::io;
use std::ptr::null_mut;

/// A timer that sends a signal. It lasts as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Timer(libc::timer_t);

impl Timer {
    /// Creates a timer of this clock, which is not armed, for the calling thread.
    pub fn new(clock: libc::clockid_t, signal: libc::c_int) -> io::Result<Self> {
        // SAFETY: all zeros is a valid value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        // SAFETY: gettid(2) has no conditions.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        Self::create(clock, signal, event)
    }

    /// Creates a timer of this clock, which is not armed, for the process, whichever of its threads are left.
    pub fn for_process(clock: libc::clockid_t, signal: libc::c_int) -> io::Result<Self> {
        // SAFETY: all zeros is a valid value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        Self::create(clock, signal, event)
    }

    fn create(clock: libc::clockid_t, signal: libc::c_int, mut event: libc::sigevent) -> io::Result<Self> {
        event.sigev_signo = signal;
        let mut timer = null_mut();
        // SAFETY: both pointers are to variables of ours.
        match unsafe { libc::timer_create(clock, &mut event, &mut timer) } {
            0 => Ok(Self(timer)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Kernel's number of the timer.
    pub fn number(self) -> u32 {
        self.0 as usize as u32
    }

    /// Arms the timer: the signal is sent first after `value` of the clock's time, then every
    /// `interval`. A `value` of zero disarms the timer.
    pub fn set(self, value: libc::timespec, interval: libc::timespec) -> io::Result<()> {
        let times = libc::itimerspec { it_interval: interval, it_value: value };
        // SAFETY: `create` has made the timer, and the times are a variable of ours.
        match unsafe { libc::timer_settime(self.0, 0, &times, null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
