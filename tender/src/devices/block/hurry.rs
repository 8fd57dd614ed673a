//! What can be done without waiting: reads and writes that end in the host's page cache.
//!
//! That is most of them, and it takes one system call and no other thread, or for a read none at all ([`View`]).
//!
//! Some file systems do not say whether a write would wait ([`Eager`]).

#![expect(unsafe_code, reason = "guest memory is read and written by system calls")]

use super::eager::Eager;
use super::engine::Step;
use super::view::View;
use crate::devices::ring::Part;
use crate::time::coarse_monotonic_ns;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// Which of them are worth an attempt.
#[derive(Debug)]
pub struct Hurry {
    reads: bool,
    writes: Writes,
    view: Option<View>,
}

/// How a write is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Never,
    /// The host says if it would wait.
    IfAtOnce,
    /// It does not say.
    Eagerly(Eager),
}

impl Hurry {
    /// For a file whose accesses go past the page cache if it is `direct`: these always wait. Others may be read by a `view`.
    pub fn new(is_direct: bool, view: Option<View>) -> Self {
        let writes = if is_direct { Writes::Never } else { Writes::IfAtOnce };
        Self { reads: !is_direct, writes, view }
    }

    /// Begins with some steps.
    pub fn begin(&mut self) {
        if let Some(view) = &mut self.view {
            view.set_time(coarse_monotonic_ns());
        }
    }

    /// Carries out a step, unless it would wait: then nothing has been done.
    ///
    /// # Safety
    ///
    /// The memory that the step names is there; should a guest have protected it, that is EFAULT.
    pub unsafe fn carry_out(&mut self, file: &File, step: Step) -> Option<Result<usize, i32>> {
        match step {
            Step::Read { address, length, offset } => {
                let seen =
                    |view: &View| view.read(Part { start: NonNull::new(address)?, length }, offset).then_some(());
                if self.view.as_ref().and_then(seen).is_some() {
                    return Some(Ok(length));
                }
                // SAFETY: the caller vouches for the memory.
                let result = unsafe { self.read(file, &part(address, length), 1, offset) };
                if let (Some(view), Some(Ok(count))) = (&mut self.view, result) {
                    view.note(offset, count);
                }
                result
            }
            Step::Write { address, length, offset } => {
                // SAFETY: the caller vouches for the memory.
                unsafe { self.write(file, &part(address.cast_mut(), length), 1, offset) }
            }
            // SAFETY: the caller vouches for the vectors and the memory.
            Step::ReadParts { vectors, count, offset } => unsafe { self.read(file, vectors, count, offset) },
            // SAFETY: the same.
            Step::WriteParts { vectors, count, offset } => unsafe { self.write(file, vectors, count, offset) },
            Step::Sync | Step::Allocate { .. } => None,
        }
    }

    /// Reads to these vectors, for which the caller vouches.
    unsafe fn read(
        &mut self,
        file: &File,
        vectors: *const libc::iovec,
        count: usize,
        offset: u64,
    ) -> Option<Result<usize, i32>> {
        if !self.reads {
            return None;
        }
        let call = (libc::SYS_preadv2, libc::RWF_NOWAIT);
        // SAFETY: the caller vouches for the memory.
        match unsafe { transfer(file, call, vectors, count, offset) } {
            Err(error) if does_not_tell(error) => {
                self.reads = false;
                None
            }
            result => unless_waiting(result),
        }
    }

    /// Writes these vectors, for which the caller vouches.
    unsafe fn write(
        &mut self,
        file: &File,
        vectors: *const libc::iovec,
        count: usize,
        offset: u64,
    ) -> Option<Result<usize, i32>> {
        if self.writes == Writes::IfAtOnce {
            let call = (libc::SYS_pwritev2, libc::RWF_NOWAIT);
            // SAFETY: the caller vouches for the memory.
            match unsafe { transfer(file, call, vectors, count, offset) } {
                Err(error) if does_not_tell(error) => self.writes = Writes::Eagerly(Eager::default()),
                result => return unless_waiting(result),
            }
        }
        let Writes::Eagerly(eager) = &mut self.writes else { return None };
        // SAFETY: the caller vouches for the memory.
        eager.attempt(|| unsafe { write_waiting(file, vectors, count, offset) }).and_then(unless_waiting)
    }
}

/// Writes, whether that waits or not. Of one vector, the kernel need not be told by a vector.
///
/// # Safety
///
/// As of [`transfer`].
unsafe fn write_waiting(file: &File, vectors: *const libc::iovec, count: usize, offset: u64) -> Result<usize, i32> {
    if count != 1 {
        // SAFETY: the caller's.
        return unsafe { transfer(file, (libc::SYS_pwritev2, 0), vectors, count, offset) };
    }
    // SAFETY: there is one.
    let libc::iovec { iov_base: start, iov_len: length } = unsafe { vectors.read() };
    // SAFETY: the caller's.
    outcome(unsafe { libc::syscall(libc::SYS_pwrite64, file.as_raw_fd(), start, length, offset) })
}

/// Makes the call of this number, with these flags.
///
/// # Safety
///
/// The vectors are so many, and their memory is there; should a guest have protected it, that is EFAULT.
unsafe fn transfer(
    file: &File,
    (call, flags): (libc::c_long, libc::c_int),
    vectors: *const libc::iovec,
    count: usize,
    offset: u64,
) -> Result<usize, i32> {
    // Not by the C library's function: that is a place where a thread may be cancelled, which takes its time.
    // SAFETY: the caller's.
    outcome(unsafe { libc::syscall(call, file.as_raw_fd(), vectors, count, offset, 0, flags) })
}

/// What a system call has come to: bytes, or an error.
fn outcome(result: libc::c_long) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// Whether a file system does not tell what would wait.
fn does_not_tell(error: i32) -> bool {
    matches!(error, libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
}

fn unless_waiting(result: Result<usize, i32>) -> Option<Result<usize, i32>> {
    match result {
        Err(libc::EAGAIN | libc::EINTR) => None,
        result => Some(result),
    }
}

fn part(start: *mut u8, length: usize) -> libc::iovec {
    libc::iovec { iov_base: start.cast(), iov_len: length }
}
