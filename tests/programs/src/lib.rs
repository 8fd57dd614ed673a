//! What programs share that ask in the words of C.

#![expect(unsafe_code, reason = "poll is a function of C")]

use libc::{POLLIN, POLLOUT, POLLRDHUP, poll, pollfd};
use std::io::Error;
use std::os::fd::AsRawFd;

/// What a file is ready for, of reading, writing and the other end having said all.
pub fn ready(file: &impl AsRawFd) -> i16 {
    let mut entry = pollfd { fd: file.as_raw_fd(), events: POLLIN | POLLOUT | POLLRDHUP, revents: 0 };
    // SAFETY: one entry of ours.
    unsafe { poll(&mut entry, 1, 0) };
    entry.revents
}

/// Number of the error that the last call ended with.
pub fn errno() -> i32 {
    Error::last_os_error().raw_os_error().expect("a number")
}
