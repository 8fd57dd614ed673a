//! Who carries out the steps of requests: [`Uring`](super::uring::Uring), side by side, or, where the host's kernel does
//! not have or allow that, [`InTurn`], one after the other.

#![expect(unsafe_code, reason = "guest memory is read and written by system calls")]

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// Something that is done with a disk's file. Memory is named by address: it is guest memory that was checked, or our
/// own that nobody writes to. As with read(2), write(2), preadv(2), pwritev(2), fdatasync(2) and fallocate(2).
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Read { address: *mut u8, length: usize, offset: u64 },
    Write { address: *const u8, length: usize, offset: u64 },
    ReadParts { vectors: *const libc::iovec, count: usize, offset: u64 },
    WriteParts { vectors: *const libc::iovec, count: usize, offset: u64 },
    Sync,
    Allocate { offset: u64, length: u64, mode: i32 },
}

/// What a step came to: its number, and how many bytes were moved or the error number.
pub type Result = (usize, std::result::Result<usize, i32>);

/// Who carries out steps.
pub trait Engine: std::fmt::Debug + Send {
    /// Whether another step can be started now.
    fn has_room(&mut self) -> bool;

    /// Starts a step, for which there is room, under a number that no other has.
    ///
    /// # Safety
    ///
    /// The memory that the step names, the vectors included, stays until its result is told.
    unsafe fn start(&mut self, number: usize, step: Step);

    /// Lets the host see what was started.
    fn submit(&mut self);

    /// The result of a step.
    fn next(&mut self) -> Option<Result>;

    /// The file that is readable when there is a result; negative for none.
    fn file(&self) -> RawFd;
}

/// Carries out each step at once, while everybody waits: so it takes one at a time, and others have their turn between.
#[derive(Debug)]
pub struct InTurn {
    file: Arc<File>,
    results: VecDeque<Result>,
}

impl InTurn {
    /// Works on `file`.
    pub fn new(file: &Arc<File>) -> Self {
        Self { file: Arc::clone(file), results: VecDeque::new() }
    }

    fn carry_out(&self, step: Step) -> isize {
        let file = self.file.as_raw_fd();
        match step {
            Step::Read { address, length, offset } => {
                let vector = libc::iovec { iov_base: address.cast(), iov_len: length };
                self.carry_out(Step::ReadParts { vectors: &vector, count: 1, offset })
            }
            Step::Write { address, length, offset } => {
                let vector = libc::iovec { iov_base: address.cast_mut().cast(), iov_len: length };
                self.carry_out(Step::WriteParts { vectors: &vector, count: 1, offset })
            }
            // SAFETY: whoever started the step promised the memory; if the guest has protected it, this is EFAULT.
            Step::ReadParts { vectors, count, offset } => unsafe {
                libc::preadv(file, vectors, count as i32, offset as i64)
            },
            // SAFETY: as above.
            Step::WriteParts { vectors, count, offset } => unsafe {
                libc::pwritev(file, vectors, count as i32, offset as i64)
            },
            // SAFETY: only numbers.
            Step::Sync => unsafe { libc::fdatasync(file) as isize },
            // SAFETY: only numbers.
            Step::Allocate { offset, length, mode } => unsafe {
                libc::fallocate(file, mode, offset as i64, length as i64) as isize
            },
        }
    }
}

impl Engine for InTurn {
    fn has_room(&mut self) -> bool {
        self.results.is_empty()
    }

    unsafe fn start(&mut self, number: usize, step: Step) {
        let result = usize::try_from(self.carry_out(step));
        let result = result.map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        self.results.push_back((number, result));
    }

    fn submit(&mut self) {}

    fn next(&mut self) -> Option<Result> {
        self.results.pop_front()
    }

    fn file(&self) -> RawFd {
        -1
    }
}
