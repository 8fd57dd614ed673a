//! Console: the tender's own standard streams.
//!
//! Output of the guest reaches them unchanged, as with any program: a guest may drive the terminal. `--console escaped` is for
//! guests that are not trusted that far. A rate limit blocks the guest; nothing is lost.
//!
//! While the console is paused ([`super::pause`]), a call waits before it uses guest memory.

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
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Most bytes moved by one call: bounds how long a guest can keep the tender in one system call.
const CHUNK: u64 = 1 << 20;
/// Most escaped bytes moved by one call, which takes a copy.
const ESCAPED_CHUNK: u64 = 4096;
/// Interval at which a call looks whether the console is still paused, in nanoseconds.
const PAUSED_NS: u64 = 1_000_000;

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

/// The console of one guest. A clone is the same console, for the thread that pauses it.
#[derive(Clone, Debug)]
pub struct Console(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The console is paused, or about to be.
    closed: AtomicBool,
    /// Locked while a call uses guest memory or prints.
    output: Mutex<Output>,
}

#[derive(Debug)]
struct Output {
    /// State for standard output and standard error, if they are escaped.
    escapes: Option<[Escape; 2]>,
    limit: Bucket,
}

/// State of a paused console, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// First bytes of a character that the guest has printed in part, to standard output and standard error.
    pub cut: [Vec<u8>; 2],
    /// Level of the rate limit ([`Bucket::level`]).
    pub level: i128,
}

impl Console {
    /// Creates a console that treats output according to `options`.
    pub fn new(options: Options) -> Self {
        let escapes = options.escaped.then(Default::default);
        let output = Output { escapes, limit: Bucket::new(options.rate, monotonic_ns()) };
        Self(Arc::new(Shared { closed: AtomicBool::new(false), output: Mutex::new(output) }))
    }

    /// Writes from guest memory that has been checked to hold `length` bytes. Stops waiting when `interrupted`.
    pub fn write(
        &self,
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
        let write = || {
            let mut output = self.enter(&interrupted)?;
            let written = match &mut output.escapes {
                Some(escapes) => {
                    let bytes = copy(from, length.min(ESCAPED_CHUNK))?;
                    let shown = escapes[stream as usize - 1].piece(&bytes);
                    write_all(descriptor, shown.as_bytes()).map(|()| bytes.len() as u64)
                }
                // SAFETY: the caller checked the range; if the guest has protected the page since, the kernel returns EFAULT.
                None => outcome(unsafe { libc::write(descriptor, from.as_ptr().cast(), length.min(CHUNK) as usize) }),
            }?;
            output.limit.take(written as usize);
            Ok(written)
        };
        let result = self.wait(&interrupted).and_then(|()| transfer(descriptor, libc::POLLOUT, &interrupted, write));
        result.map_err(|error| status(&error))
    }

    /// Reads into guest memory that has been checked to hold `length` bytes. Stops waiting when `interrupted`.
    pub fn read(&self, into: NonNull<u8>, length: u64, interrupted: impl Fn() -> bool) -> Result<u64, Status> {
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
        let read = || {
            let _output = self.enter(&interrupted)?;
            // SAFETY: the caller checked the range; if the guest has protected the page since, the kernel returns EFAULT.
            outcome(unsafe { libc::read(descriptor, into.as_ptr().cast(), length.min(CHUNK) as usize) })
        };
        transfer(descriptor, libc::POLLIN, &interrupted, read).map_err(|error| status(&error))
    }

    /// Blocks until the limit lets a write pass.
    fn wait(&self, interrupted: impl Fn() -> bool) -> io::Result<()> {
        loop {
            let mut output = self.enter(&interrupted)?;
            let now_ns = if output.limit.is_bounded() { monotonic_ns() } else { 0 };
            let opens_ns = output.limit.opens_ns(now_ns);
            drop(output);
            if opens_ns <= now_ns {
                return Ok(());
            }
            if interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            signals::wait(&mut [], opens_ns);
        }
    }

    /// Locks the output, once the console is not paused.
    fn enter(&self, interrupted: impl Fn() -> bool) -> io::Result<MutexGuard<'_, Output>> {
        loop {
            let output = self.output();
            if !self.0.closed.load(Relaxed) {
                return Ok(output);
            }
            drop(output);
            if interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            signals::wait(&mut [], monotonic_ns() + PAUSED_NS);
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.0.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a thread that pauses: lets no call begin to use guest memory or to print. Returns false if the console is closed
    /// already.
    #[must_use]
    pub(super) fn close(&self) -> bool {
        !self.0.closed.swap(true, Relaxed)
    }

    /// Lets calls go on.
    pub(super) fn open(&self) {
        self.0.closed.store(false, Relaxed);
    }

    /// Returns true if no call uses guest memory or prints.
    pub(super) fn is_idle(&self) -> bool {
        !matches!(self.0.output.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// State of the console, which is paused.
    pub fn state(&self) -> State {
        let output = self.output();
        let cut = output.escapes.as_ref().map(|escapes| escapes.each_ref().map(|escape| escape.cut().to_vec()));
        State { cut: cut.unwrap_or_default(), level: output.limit.level() }
    }

    /// Continues from any state, brought into its bounds.
    pub fn restore(&self, state: &State) {
        let mut output = self.output();
        if let Some(escapes) = &mut output.escapes {
            *escapes = state.cut.each_ref().map(|cut| Escape::at(cut));
        }
        output.limit.restore(state.level, monotonic_ns());
    }
}

/// Copies guest memory, which may be protected.
fn copy(from: NonNull<u8>, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: from.as_ptr().cast(), iov_len: bytes.len() };
    let own_process = std::process::id() as libc::pid_t;
    // SAFETY: the local vector is the buffer above; the kernel checks the remote one, which may hold any numbers.
    let count = outcome(unsafe { libc::process_vm_readv(own_process, &local, 1, &remote, 1, 0) })?;
    bytes.truncate(count as usize);
    Ok(bytes)
}

/// Writes all of a piece, which must not be cut. Only a signal that kills the tender ends the wait.
fn write_all(descriptor: RawFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: `bytes` is a slice of this length.
        let write = || outcome(unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) });
        let written = transfer(descriptor, libc::POLLOUT, || false, write)?;
        bytes = &bytes[written as usize..];
    }
    Ok(())
}

/// Converts the result of a system call: bytes, or the error.
fn outcome(result: isize) -> io::Result<u64> {
    u64::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Retries a system call after an EINTR that does not concern the guest, and blocks in poll on EAGAIN from an inherited
/// non-blocking descriptor.
fn transfer(
    descriptor: RawFd,
    events: i16,
    interrupted: impl Fn() -> bool,
    mut system_call: impl FnMut() -> io::Result<u64>,
) -> io::Result<u64> {
    loop {
        match system_call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && !interrupted() => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !interrupted() => {
                signals::wait(&mut [libc::pollfd { fd: descriptor, events, revents: 0 }], u64::MAX);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::Interrupted.into()),
            result => return result,
        }
    }
}

/// Maps the host's error to the guest's status.
fn status(error: &io::Error) -> Status {
    match error.raw_os_error() {
        _ if error.kind() == io::ErrorKind::Interrupted => Status::Interrupted,
        Some(libc::EPIPE) => Status::Closed,
        Some(libc::ENOSPC | libc::EDQUOT) => Status::NoSpace,
        Some(libc::EFBIG) => Status::TooLarge,
        Some(libc::EISDIR) => Status::Directory,
        Some(libc::EBADF) => Status::NotOpen,
        _ => Status::InputOutput,
    }
}
