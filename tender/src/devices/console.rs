//! The console: the tender's own standard streams.

#![expect(unsafe_code, reason = "reads and writes guest memory by system call, without a Rust reference to it")]

use crate::signals;
use husk_abi::call::Status;
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

/// Most bytes moved by one call: bounds how long a guest can keep the tender in one system call.
const CHUNK: u64 = 1 << 20;

/// Writes from guest memory that has been checked to hold `length` bytes. Gives up a wait when `interrupted`.
pub fn write(stream: u64, from: NonNull<u8>, length: u64, interrupted: impl Fn() -> bool) -> Result<u64, Status> {
    let descriptor = match stream {
        1 => libc::STDOUT_FILENO,
        2 => libc::STDERR_FILENO,
        _ => return Err(Status::Invalid),
    };
    // SAFETY: the caller checked the range; should the page be protected by now, the kernel answers EFAULT.
    transfer(descriptor, libc::POLLOUT, interrupted, || unsafe {
        libc::write(descriptor, from.as_ptr().cast(), length.min(CHUNK) as usize)
    })
}

/// Reads into guest memory that has been checked to hold `length` bytes. Gives up a wait when `interrupted`.
pub fn read(into: NonNull<u8>, length: u64, interrupted: impl Fn() -> bool) -> Result<u64, Status> {
    let descriptor = libc::STDIN_FILENO;
    let mut input = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    loop {
        // A signal that came before the input did is heard before.
        if interrupted() {
            return Err(Status::Interrupted);
        }
        if input.revents != 0 {
            break;
        }
        signals::wait(std::slice::from_mut(&mut input), u64::MAX);
    }
    // SAFETY: the caller checked the range; should the page be protected by now, the kernel answers EFAULT.
    transfer(descriptor, libc::POLLIN, interrupted, || unsafe {
        libc::read(descriptor, into.as_ptr().cast(), length.min(CHUNK) as usize)
    })
}

/// Repeats a system call that was interrupted by no signal that matters, and waits where a descriptor given to us does not.
fn transfer(
    descriptor: RawFd,
    events: i16,
    interrupted: impl Fn() -> bool,
    mut system_call: impl FnMut() -> isize,
) -> Result<u64, Status> {
    loop {
        if let Ok(count) = u64::try_from(system_call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted if interrupted() => return Err(Status::Interrupted),
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock if interrupted() => return Err(Status::Interrupted),
            io::ErrorKind::WouldBlock => {
                signals::wait(&mut [libc::pollfd { fd: descriptor, events, revents: 0 }], u64::MAX);
            }
            io::ErrorKind::BrokenPipe => return Err(Status::Closed),
            _ => return Err(status(&error)),
        }
    }
}

/// What a guest is told of the host's error.
fn status(error: &io::Error) -> Status {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => Status::NoSpace,
        Some(libc::EFBIG) => Status::TooLarge,
        Some(libc::EISDIR) => Status::Directory,
        Some(libc::EBADF) => Status::NotOpen,
        _ => Status::InputOutput,
    }
}
