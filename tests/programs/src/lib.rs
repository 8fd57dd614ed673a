//! Helpers of the test programs that call libc directly.

#![expect(unsafe_code, reason = "poll and the macros of control messages are C's")]

use libc::{CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, POLLIN, POLLOUT, POLLRDHUP, msghdr, poll, pollfd};
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

/// Control message: level, kind, and data.
pub type Control = (i32, i32, Vec<u8>);

/// Returns the control messages that recvmsg(2) has put behind `message`.
pub fn control_messages(message: &msghdr) -> Vec<Control> {
    // SAFETY: only the header is read.
    let mut at = unsafe { CMSG_FIRSTHDR(message) };
    // SAFETY: no memory is read.
    let empty = u64::from(unsafe { CMSG_LEN(0) });
    let mut all = Vec::new();
    // SAFETY: the macros find headers within the memory of control messages, or none.
    while let Some(header) = unsafe { at.as_ref() } {
        // SAFETY: as above.
        let data = unsafe { CMSG_DATA(header) };
        let length = (header.cmsg_len as u64 - empty) as usize;
        // SAFETY: the kernel has written as many bytes behind the header as it says.
        let data = unsafe { std::slice::from_raw_parts(data, length) };
        all.push((header.cmsg_level, header.cmsg_type, data.to_vec()));
        // SAFETY: as above.
        at = unsafe { CMSG_NXTHDR(message, header) };
    }
    all
}
