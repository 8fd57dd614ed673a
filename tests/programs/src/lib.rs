//! Helpers of the test programs that call libc directly.

#![expect(unsafe_code, reason = "poll is a function of C")]

use libc::{POLLIN, POLLOUT, POLLRDHUP, poll, pollfd};
use std::io::Error;
use std::os::fd::AsRawFd;

/// Returns the events that `file` is ready for (poll(2)): POLLIN, POLLOUT, and POLLRDHUP once the peer has sent all.
pub fn ready(file: &impl AsRawFd) -> i16 {
    let mut entry = pollfd { fd: file.as_raw_fd(), events: POLLIN | POLLOUT | POLLRDHUP, revents: 0 };
    // SAFETY: poll(2) uses one entry, which is a local variable.
    unsafe { poll(&mut entry, 1, 0) };
    entry.revents
}

/// Number of the error that the last call ended with.
pub fn errno() -> i32 {
    Error::last_os_error().raw_os_error().expect("a number")
}
