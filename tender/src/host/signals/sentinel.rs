//! The signals of [`STOP`](husk_abi::signals::STOP) that are left to a sentinel ([`crate::confine::sentinel`]).

#![expect(unsafe_code, reason = "signal handlers")]

use super::{GRACE, STOPPED_BY, TICK_MS, arrived, handle, sender};
use std::io;
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::Relaxed;

/// Work of the sentinel.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    /// Signals to wait for, bit n for entry n of [`STAND_INS`].
    pub signals: usize,
    /// Seconds that the process has to end, after the first signal.
    pub grace_s: u64,
    /// Signal that has begun the grace period already, or 0.
    pub stopped_by: libc::c_int,
}

impl Duty {
    /// Returns true if there is a signal to wait for.
    pub fn is_any(&self) -> bool {
        self.signals != 0
    }
}

/// Pairs of a stand-in and a signal of [`STOP`](husk_abi::signals::STOP): the sentinel waits for the signal, and sends the
/// stand-in in its place. Linux sends neither stand-in by itself.
pub const STAND_INS: [(libc::c_int, libc::c_int); 2] = [(libc::SIGSTKFLT, libc::SIGINT), (libc::SIGPWR, libc::SIGTERM)];

/// Leaves the received signals of [`STOP`](husk_abi::signals::STOP) to a sentinel, and receives their stand-ins; not under a
/// supervisor, which ends this process itself. All signals are blocked; those that are left are added to `mask`.
pub fn leave_to_sentinel(mask: &mut libc::sigset_t) -> io::Result<Duty> {
    let mut signals = 0;
    for (index, (stand_in, signal)) in STAND_INS.into_iter().enumerate().filter(|_| sender().is_none()) {
        // SAFETY: all zeros is a valid value.
        let (mut before, none): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
        // SAFETY: the action is a variable of ours.
        if unsafe { libc::sigaction(signal, null(), &mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if [libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction) {
            continue;
        }
        // SAFETY: the handler uses nothing but atomics and system calls.
        unsafe { handle(stand_in, arrived) }?;
        // SAFETY: the default action needs no handler.
        if unsafe { libc::sigaction(signal, &none, null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a variable of ours, and a signal that exists.
        unsafe { libc::sigaddset(mask, signal) };
        signals |= 1 << index;
    }
    let grace_s = GRACE.load(Relaxed).div_ceil(1000 / TICK_MS);
    Ok(Duty { signals, grace_s, stopped_by: STOPPED_BY.load(Relaxed) })
}
