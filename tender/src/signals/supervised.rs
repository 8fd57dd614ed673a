//! Signals under a supervisor ([`crate::supervise`]): it has the process number that the operator knows, and passes on under
//! other numbers what it is sent.

#![expect(unsafe_code, reason = "signals are ignored by a system call without a wrapper")]

use husk_abi::signals::{QUIT, TOLD, WINDOW_CHANGE};
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

/// The supervisor, which passes signals on, or 0.
static SENDER: AtomicI32 = AtomicI32::new(0);

/// Difference between a signal that a supervisor passes on and the number under which it does: that of a real-time signal,
/// above those that C libraries take.
const FORWARD: libc::c_int = 36;
const _: () = assert!(WINDOW_CHANGE as libc::c_int + FORWARD <= 64);

/// The signals that a supervisor passes on under another number.
pub(super) fn passed_on() -> impl Iterator<Item = libc::c_int> {
    TOLD.into_iter().chain([QUIT]).map(|signal| signal as libc::c_int)
}

/// The number under which a supervisor passes a signal on. What a process group is sent reaches the tender too, and two
/// standard signals of one number merge: which of the two arrives, and from whom, is then a matter of chance. So the tender
/// ignores those, and receives real-time signals instead, each of which is queued. Others keep their number, but for
/// real-time signals: the sender asks for the end, which all of them get by the one that has no handler.
pub fn forwarded(signal: libc::c_int) -> libc::c_int {
    match signal {
        32.. => FORWARD,
        signal if passed_on().any(|passed_on| passed_on == signal) => signal + FORWARD,
        signal => signal,
    }
}

/// The signal that a supervisor passes on under this number.
pub fn original(number: libc::c_int) -> libc::c_int {
    passed_on().find(|signal| signal + FORWARD == number).unwrap_or(number)
}

/// Leaves the signals for the guest to this process, which passes on those that were sent to it; returns `mask` with the
/// numbers open under which it does. Until [`super::receive`], they have their default effect. All are blocked.
pub fn take_from(sender: libc::pid_t, mut mask: libc::sigset_t) -> libc::sigset_t {
    SENDER.store(sender, Relaxed);
    for signal in passed_on() {
        // SAFETY: no handler is involved.
        let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
        if before == libc::SIG_IGN || signal == WINDOW_CHANGE as libc::c_int {
            // SAFETY: as above.
            unsafe { libc::signal(forwarded(signal), libc::SIG_IGN) };
        }
        // SAFETY: a variable of ours, and a signal that exists.
        unsafe { libc::sigdelset(&mut mask, forwarded(signal)) };
    }
    mask
}

/// The supervisor, which passes signals on, if there is one.
pub fn sender() -> Option<libc::pid_t> {
    Some(SENDER.load(Relaxed)).filter(|sender| *sender != 0)
}

/// The numbers under which a supervisor passes signals on, if there is one.
pub(super) fn from_supervisor() -> impl Iterator<Item = libc::c_int> {
    passed_on().filter(|_| sender().is_some()).map(forwarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_keeps_its_meaning() {
        for signal in 1..=64 {
            let number = forwarded(signal);
            assert_eq!(original(number), if signal < 32 { signal } else { FORWARD });
            let is_queued = number > 34;
            assert_eq!(is_queued, signal >= 32 || passed_on().any(|passed_on| passed_on == signal), "{signal}");
        }
    }
}
