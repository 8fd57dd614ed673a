//! The console: the tender's own standard streams.

#![expect(unsafe_code, reason = "reads and writes guest memory by system call, without a Rust reference to it")]

use crate::clock;
use husk_abi::call::Status;
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

/// Most bytes moved by one call: bounds how long a guest can keep the tender in one system call.
const CHUNK: u64 = 1 << 20;

/// Writes from guest memory that has been checked to hold `length` bytes.
pub fn write(stream: u64, from: NonNull<u8>, length: u64) -> Result<u64, Status> {
    let descriptor = match stream {
        1 => libc::STDOUT_FILENO,
        2 => libc::STDERR_FILENO,
        _ => return Err(Status::Invalid),
    };
    // SAFETY: the caller checked the range; should the page be protected by now, the kernel answers EFAULT.
    transfer(descriptor, libc::POLLOUT, || unsafe {
        libc::write(descriptor, from.as_ptr().cast(), length.min(CHUNK) as usize)
    })
}

/// Reads into guest memory that has been checked to hold `length` bytes.
pub fn read(into: NonNull<u8>, length: u64) -> Result<u64, Status> {
    let descriptor = libc::STDIN_FILENO;
    // SAFETY: the caller checked the range; should the page be protected by now, the kernel answers EFAULT.
    transfer(descriptor, libc::POLLIN, || unsafe {
        libc::read(descriptor, into.as_ptr().cast(), length.min(CHUNK) as usize)
    })
}

/// Waits until a read would not wait, the host's monotonic clock reaches `deadline_ns`, or a signal arrives; tells
/// whether a read would not wait.
pub fn wait_for_input(deadline_ns: u64) -> bool {
    let left_ns = deadline_ns.saturating_sub(clock::monotonic_ns());
    let left =
        libc::timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as libc::c_long };
    let mut poll = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry and a time of our own, and no mask.
    unsafe { libc::ppoll(&mut poll, 1, &left, std::ptr::null()) > 0 }
}

/// Repeats a system call that was interrupted, and waits where a descriptor given to us does not.
fn transfer(descriptor: RawFd, events: i16, mut system_call: impl FnMut() -> isize) -> Result<u64, Status> {
    loop {
        if let Ok(count) = u64::try_from(system_call()) {
            return Ok(count);
        }
        match io::Error::last_os_error().kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => {
                let mut poll = libc::pollfd { fd: descriptor, events, revents: 0 };
                // SAFETY: one entry of our own.
                unsafe { libc::poll(&mut poll, 1, -1) };
            }
            io::ErrorKind::BrokenPipe => return Err(Status::Closed),
            _ => return Err(Status::InputOutput),
        }
    }
}
