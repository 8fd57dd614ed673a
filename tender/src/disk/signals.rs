//! Signals that ask for the end: noted, so that the unfinished file is removed.

#![expect(unsafe_code, reason = "handlers have no other interface")]

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Signal that has come, or 0.
static CAME: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    CAME.store(signal, Relaxed);
}

/// Has signals that ask for the end noted, but for those that are ignored, as by nohup(1). A file above the limit of its size is an
/// error (EFBIG), not the end.
pub fn note_all() {
    // SAFETY: SIG_IGN is no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler does nothing but a store into an atomic.
        let before = unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) };
        if before == libc::SIG_IGN {
            // SAFETY: SIG_IGN is no handler.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
}

/// Fails if a signal has come.
pub fn check() -> Result<()> {
    match CAME.load(Relaxed) {
        0 => Ok(()),
        signal => Err(Error::Signal(signal)),
    }
}
