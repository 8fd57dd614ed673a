//! What can be done without waiting: reads and writes that end in the host's page cache.
//!
//! That is most of them, and it takes one system call and no other thread.

#![expect(unsafe_code, reason = "guest memory is read and written by system calls")]

use super::engine::Step;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Which of them are worth an attempt.
#[derive(Debug)]
pub struct Hurry {
    reads: bool,
    writes: bool,
}

impl Hurry {
    /// For a file whose accesses go past the page cache if it is `direct`: these always wait.
    pub fn new(is_direct: bool) -> Self {
        Self { reads: !is_direct, writes: !is_direct }
    }

    /// Carries out a step, unless it would wait: then nothing has been done.
    ///
    /// # Safety
    ///
    /// The memory that the step names is there; should a guest have protected it, that is EFAULT.
    pub unsafe fn carry_out(&mut self, file: &File, step: Step) -> Option<Result<usize, i32>> {
        let (vectors, count, offset, writes) = match step {
            Step::Read { address, length, offset } => (&part(address, length), 1, offset, false),
            Step::Write { address, length, offset } => (&part(address.cast_mut(), length), 1, offset, true),
            // SAFETY: the caller vouches for the vectors.
            Step::ReadParts { vectors, count, offset } => (unsafe { &*vectors }, count, offset, false),
            // SAFETY: the caller vouches for the vectors.
            Step::WriteParts { vectors, count, offset } => (unsafe { &*vectors }, count, offset, true),
            Step::Sync | Step::Allocate { .. } => return None,
        };
        let worth = if writes { &mut self.writes } else { &mut self.reads };
        if !*worth {
            return None;
        }
        let (file, vectors, count, offset) = (file.as_raw_fd(), &raw const *vectors, count as i32, offset as i64);
        let result = match writes {
            // SAFETY: the caller vouches for the memory.
            true => unsafe { libc::pwritev2(file, vectors, count, offset, libc::RWF_NOWAIT) },
            // SAFETY: the same.
            false => unsafe { libc::preadv2(file, vectors, count, offset, libc::RWF_NOWAIT) },
        };
        let error = match usize::try_from(result) {
            Ok(count) => return Some(Ok(count)),
            Err(_) => io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
        };
        match error {
            libc::EAGAIN | libc::EINTR => None,
            // This file system does not tell what would wait.
            libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL => {
                *worth = false;
                None
            }
            error => Some(Err(error)),
        }
    }
}

fn part(start: *mut u8, length: usize) -> libc::iovec {
    libc::iovec { iov_base: start.cast(), iov_len: length }
}
