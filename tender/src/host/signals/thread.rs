//! A thread of this process that signals interrupt.

#![expect(unsafe_code, reason = "a signal to one thread is a system call without a wrapper")]

use super::number;

/// A thread of this process, by its ids.
#[derive(Clone, Copy, Debug)]
pub struct Thread {
    process: libc::pid_t,
    thread: libc::pid_t,
}

impl Thread {
    /// Returns the calling thread.
    pub fn here() -> Self {
        let process = std::process::id() as libc::pid_t;
        // SAFETY: gettid(2) takes no arguments and always succeeds.
        let thread = unsafe { libc::gettid() };
        Self { process, thread }
    }

    /// Interrupts the thread: it leaves the guest, a wait, or a system call that blocks. It must live.
    pub fn interrupt(self) {
        // SAFETY: only numbers, which are those of this process and of a thread of it.
        unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.thread, number::FAULT) };
    }
}
