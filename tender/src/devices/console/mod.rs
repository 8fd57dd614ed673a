//! Console: the tender's own standard streams.
//!
//! Output of the guest reaches them unchanged, as with any program: a guest may drive the terminal. `--console escaped` is for
//! guests that are not trusted that far. A rate limit blocks the guest; nothing is lost.

#![expect(unsafe_code, reason = "reads and writes guest memory by system call, without a Rust reference to it")]

mod escape;

use super::limit::{Bucket, Rate};
use crate::host::signals;
use crate::host::time::monotonic_ns;
use escape::Escape;
use husk_abi::call::Status;
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

/// Most bytes moved by one call: bounds how long a guest can keep the tender in one system call.
const CHUNK: u64 = 1 << 20;
/// Most escaped bytes moved by one call, which takes a copy.
const ESCAPED_CHUNK: u64 = 4096;

/// Treatment of the guest's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Control characters are shown as text instead of sent.
    pub escaped: bool,
    /// Most bytes printed per second.
    pub rate: Option<Rate>,
}

impl Options {
    /// Reads the value of `--console`.
    pub fn set_mode(&mut self, text: &str) -> Result<(), String> {
        self.escaped = match text {
            "raw" => false,
            "escaped" => true,
            _ => return Err("write raw or escaped".to_owned()),
        };
        Ok(())
    }
}

/// The console of one guest.
#[derive(Debug)]
pub struct Console {
    /// State for standard output and standard error, if they are escaped.
    escapes: Option<[Escape; 2]>,
    limit: Bucket,
}

impl Console {
    /// Creates a console that treats output according to `options`.
    pub fn new(options: Options) -> Self {
        let escapes = options.escaped.then(Default::default);
        Self { escapes, limit: Bucket::new(options.rate, monotonic_ns()) }
    }

    /// Writes from guest memory that has been checked to hold `length` bytes. Stops waiting when `interrupted`.
    pub fn write(
        &mut self,
        stream: u64,
        from: NonNull<u8>,
        length: u64,
        interrupted: impl Fn() -> bool,
    ) -> Result<u64, Status> {
        let descriptor = match stream {
            1 => libc::STDOUT_FILENO,
            2 => libc::STDERR_FILENO,
            _ => return Err(Status::Invalid),
        };
        self.wait(&interrupted)?;
        let written = match &mut self.escapes {
            Some(escapes) => {
                let bytes = copy(from, length.min(ESCAPED_CHUNK))?;
                let shown = escapes[stream as usize - 1].piece(&bytes);
                write_all(descriptor, shown.as_bytes()).map(|()| bytes.len() as u64)
            }
            // SAFETY: the caller checked the range; if the guest has protected the page since, the kernel returns EFAULT.
            None => transfer(descriptor, libc::POLLOUT, interrupted, || unsafe {
                libc::write(descriptor, from.as_ptr().cast(), length.min(CHUNK) as usize)
            }),
        }?;
        self.limit.take(written as usize);
        Ok(written)
    }

    /// Blocks until the limit lets a write pass.
    fn wait(&mut self, interrupted: impl Fn() -> bool) -> Result<(), Status> {
        while self.limit.is_bounded() {
            let now_ns = monotonic_ns();
            let opens_ns = self.limit.opens_ns(now_ns);
            if opens_ns <= now_ns {
                break;
            }
            if interrupted() {
                return Err(Status::Interrupted);
            }
            signals::wait(&mut [], opens_ns);
        }
        Ok(())
    }
}

/// Copies guest memory, which may be protected.
fn copy(from: NonNull<u8>, length: u64) -> Result<Vec<u8>, Status> {
    let mut bytes = vec![0; length as usize];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: from.as_ptr().cast(), iov_len: bytes.len() };
    let own_process = std::process::id() as libc::pid_t;
    // SAFETY: the local vector is the buffer above; the kernel checks the remote one, which may hold any numbers.
    let count = unsafe { libc::process_vm_readv(own_process, &local, 1, &remote, 1, 0) };
    bytes.truncate(usize::try_from(count).map_err(|_| Status::InputOutput)?);
    Ok(bytes)
}

/// Writes all of a piece, which must not be cut. Only a signal that kills the tender ends the wait.
fn write_all(descriptor: RawFd, mut bytes: &[u8]) -> Result<(), Status> {
    while !bytes.is_empty() {
        // SAFETY: `bytes` is a slice of this length.
        let write = || unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        let written = transfer(descriptor, libc::POLLOUT, || false, write)?;
        bytes = &bytes[written as usize..];
    }
    Ok(())
}

/// Reads into guest memory that has been checked to hold `length` bytes. Stops waiting when `interrupted`.
pub fn read(into: NonNull<u8>, length: u64, interrupted: impl Fn() -> bool) -> Result<u64, Status> {
    let descriptor = libc::STDIN_FILENO;
    let mut input = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    loop {
        // A signal that arrived before the input is reported first.
        if interrupted() {
            return Err(Status::Interrupted);
        }
        if input.revents != 0 {
            break;
        }
        signals::wait(std::slice::from_mut(&mut input), u64::MAX);
    }
    // SAFETY: the caller checked the range; if the guest has protected the page since, the kernel returns EFAULT.
    transfer(descriptor, libc::POLLIN, interrupted, || unsafe {
        libc::read(descriptor, into.as_ptr().cast(), length.min(CHUNK) as usize)
    })
}

/// Retries a system call after an EINTR that does not concern the guest, and blocks in poll on EAGAIN from an inherited
/// non-blocking descriptor.
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

/// Maps the host's error to the guest's status.
fn status(error: &io::Error) -> Status {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => Status::NoSpace,
        Some(libc::EFBIG) => Status::TooLarge,
        Some(libc::EISDIR) => Status::Directory,
        Some(libc::EBADF) => Status::NotOpen,
        _ => Status::InputOutput,
    }
}
