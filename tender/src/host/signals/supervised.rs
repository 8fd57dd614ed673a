//! Signals under a supervisor ([`crate::supervise`]): it has the process number that the operator knows, and passes the
//! signals that it receives on under other numbers.

#![expect(unsafe_code, reason = "signals are ignored by a system call without a wrapper")]

use husk_abi::signals::{FORWARDED, QUIT, WINDOW_CHANGE};
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

/// Process number of the supervisor, which passes signals on, or 0.
static SENDER: AtomicI32 = AtomicI32::new(0);

/// Difference between a signal and the real-time signal as which a supervisor passes it on,
/// above the real-time signals that C libraries use.
const FORWARD: libc::c_int = 36;
const _: () = assert!(WINDOW_CHANGE as libc::c_int + FORWARD <= 64);

/// Signals that a supervisor passes on under another number.
pub(super) fn passed_on() -> impl Iterator<Item = libc::c_int> {
    FORWARDED.into_iter().chain([QUIT]).map(|signal| signal as libc::c_int)
}

/// Number under which a supervisor passes a signal on. A signal to the process group reaches the tender too, and two pending
/// standard signals of one number merge, so that the sender of the remaining one is random. So the tender ignores these
/// signals, and receives real-time signals instead, which are queued. Other signals keep their number, except real-time
/// signals: their sender asks for the end, and all of them are passed on as the only one without a handler.
pub fn forwarded(signal: libc::c_int) -> libc::c_int {
    match signal {
        32.. => FORWARD,
        signal if passed_on().any(|passed_on| passed_on == signal) => signal + FORWARD,
        signal => signal,
    }
}

/// Returns the signal that a supervisor passes on under this number.
pub fn original(number: libc::c_int) -> libc::c_int {
    passed_on().find(|signal| signal + FORWARD == number).unwrap_or(number)
}

/// Ignores the guest's signals in this process, because `sender` passes on those that it receives; returns
/// `mask` with the numbers unblocked under which they are passed on. Until [`super::receive`], these have
/// their default effect. All signals are blocked.
pub fn take_from(sender: libc::pid_t, mut mask: libc::sigset_t) -> libc::sigset_t {
    SENDER.store(sender, Relaxed);
    for signal in passed_on() {
        // SAFETY: SIG_IGN is no handler.
        let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
        if before == libc::SIG_IGN || signal == WINDOW_CHANGE as libc::c_int {
            // SAFETY: SIG_IGN is no handler.
            unsafe { libc::signal(forwarded(signal), libc::SIG_IGN) };
        }
        // SAFETY: a variable of ours, and a signal that exists.
        unsafe { libc::sigdelset(&mut mask, forwarded(signal)) };
    }
    mask
}

/// Process number of the supervisor, which passes signals on, if there is one.
pub fn sender() -> Option<libc::pid_t> {
    Some(SENDER.load(Relaxed)).filter(|sender| *sender != 0)
}

/// Numbers under which a supervisor passes signals on, if there is one.
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
