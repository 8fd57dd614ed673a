//! Reads and writes that take no waiting, because they end in the host's page cache (RWF_NOWAIT).
//!
//! Most do; each takes one system call and no other thread, or, for a read, no system call at all ([`PageCacheMap`]).
//!
//! Some file systems do not support RWF_NOWAIT for writes ([`Backoff`]).

#![expect(unsafe_code, reason = "guest memory is read and written by system calls")]

use super::engine::Step;
use super::page_cache::PageCacheMap;
use crate::devices::backoff::Backoff;
use crate::devices::ring::Part;
use crate::host::time::coarse_monotonic_ns;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// Attempts that are worth making.
#[derive(Debug)]
pub struct NonBlocking {
    reads: bool,
    writes: Writes,
    page_cache: Option<PageCacheMap>,
}

/// Ways to attempt a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Never,
    /// With RWF_NOWAIT.
    NoWait,
    /// With a blocking pwrite(2), because the file system does not support RWF_NOWAIT.
    Blocking(Backoff),
}

impl NonBlocking {
    /// Creates the state for a file. Accesses past the page cache (`is_direct`) always wait; others may be read
    /// from a map of the `page_cache`.
    pub fn new(is_direct: bool, page_cache: Option<PageCacheMap>) -> Self {
        let writes = if is_direct { Writes::Never } else { Writes::NoWait };
        Self { reads: !is_direct, writes, page_cache }
    }

    /// Updates the time, before some steps.
    pub fn begin(&mut self) {
        if let Some(page_cache) = &mut self.page_cache {
            page_cache.set_time(coarse_monotonic_ns());
        }
    }

    /// Carries out a step; `None` if the step would wait, and then nothing has been done.
    ///
    /// # Safety
    ///
    /// The memory that the step names stays mapped; if the guest has protected it, the result is EFAULT.
    pub unsafe fn carry_out(&mut self, file: &File, step: Step) -> Option<Result<usize, i32>> {
        match step {
            Step::Read { address, length, offset } => {
                let seen =
                    |map: &PageCacheMap| map.read(Part { start: NonNull::new(address)?, length }, offset).then_some(());
                if self.page_cache.as_ref().and_then(seen).is_some() {
                    return Some(Ok(length));
                }
                // SAFETY: the caller keeps the step's memory mapped.
                let result = unsafe { self.read(file, &part(address, length), 1, offset) };
                if let (Some(page_cache), Some(Ok(count))) = (&mut self.page_cache, result) {
                    page_cache.note(offset, count);
                }
                result
            }
            Step::Write { address, length, offset } => {
                // SAFETY: the caller keeps the step's memory mapped.
                unsafe { self.write(file, &part(address.cast_mut(), length), 1, offset) }
            }
            // SAFETY: the caller keeps the step's vectors and memory valid.
            Step::ReadParts { vectors, count, offset } => unsafe { self.read(file, vectors, count, offset) },
            // SAFETY: the caller keeps the step's vectors and memory valid.
            Step::WriteParts { vectors, count, offset } => unsafe { self.write(file, vectors, count, offset) },
            Step::Sync | Step::Allocate { .. } => None,
        }
    }

    /// Reads to these vectors, which the caller keeps valid.
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
        // SAFETY: the caller keeps the vectors and their memory valid.
        match unsafe { transfer(file, call, vectors, count, offset) } {
            Err(error) if is_unsupported(error) => {
                self.reads = false;
                None
            }
            result => unless_blocking(result),
        }
    }

    /// Writes these vectors, which the caller keeps valid.
    unsafe fn write(
        &mut self,
        file: &File,
        vectors: *const libc::iovec,
        count: usize,
        offset: u64,
    ) -> Option<Result<usize, i32>> {
        if self.writes == Writes::NoWait {
            let call = (libc::SYS_pwritev2, libc::RWF_NOWAIT);
            // SAFETY: the caller keeps the vectors and their memory valid.
            match unsafe { transfer(file, call, vectors, count, offset) } {
                Err(error) if is_unsupported(error) => self.writes = Writes::Blocking(Backoff::default()),
                result => return unless_blocking(result),
            }
        }
        let Writes::Blocking(backoff) = &mut self.writes else { return None };
        // SAFETY: the caller keeps the vectors and their memory valid.
        backoff.attempt(|| unsafe { write_blocking(file, vectors, count, offset) }).and_then(unless_blocking)
    }
}

/// Writes, and may block. A single vector goes by pwrite(2), which spares the kernel copying a vector.
///
/// # Safety
///
/// See [`transfer`].
unsafe fn write_blocking(file: &File, vectors: *const libc::iovec, count: usize, offset: u64) -> Result<usize, i32> {
    if count != 1 {
        // SAFETY: the caller keeps `count` vectors and their memory valid.
        return unsafe { transfer(file, (libc::SYS_pwritev2, 0), vectors, count, offset) };
    }
    // SAFETY: `count` is 1, so there is one vector.
    let libc::iovec { iov_base: start, iov_len: length } = unsafe { vectors.read() };
    // SAFETY: the caller keeps the vector's memory mapped.
    outcome(unsafe { libc::syscall(libc::SYS_pwrite64, file.as_raw_fd(), start, length, offset) })
}

/// Calls preadv2(2) or pwritev2(2), by its number, with these flags.
///
/// # Safety
///
/// `vectors` points to `count` vectors, and their memory stays mapped; if the guest has protected it, the result is EFAULT.
unsafe fn transfer(
    file: &File,
    (call, flags): (libc::c_long, libc::c_int),
    vectors: *const libc::iovec,
    count: usize,
    offset: u64,
) -> Result<usize, i32> {
    // Not by the C library's function, which is a cancellation point and therefore slower.
    // SAFETY: the caller keeps `count` vectors and their memory valid.
    outcome(unsafe { libc::syscall(call, file.as_raw_fd(), vectors, count, offset, 0, flags) })
}

/// Converts the result of a system call: bytes, or an error number.
fn outcome(result: libc::c_long) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// Returns true if this error means that RWF_NOWAIT is not supported.
fn is_unsupported(error: i32) -> bool {
    matches!(error, libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
}

fn unless_blocking(result: Result<usize, i32>) -> Option<Result<usize, i32>> {
    match result {
        Err(libc::EAGAIN | libc::EINTR) => None,
        result => Some(result),
    }
}

fn part(start: *mut u8, length: usize) -> libc::iovec {
    libc::iovec { iov_base: start.cast(), iov_len: length }
}
