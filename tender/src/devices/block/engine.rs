//! Engines that carry out the steps of requests: [`Uring`](super::uring::Uring), in parallel, or, if the host's kernel lacks or
//! forbids io_uring, [`SyncEngine`], one after the other.

#![expect(unsafe_code, reason = "guest memory is read and written by system calls")]

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// An operation on a disk's file, as of read(2), write(2), preadv(2), pwritev(2), fdatasync(2) and fallocate(2). Memory is
/// named by address: checked guest memory, or static memory of the tender that no code writes to.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Read { address: *mut u8, length: usize, offset: u64 },
    Write { address: *const u8, length: usize, offset: u64 },
    ReadParts { vectors: *const libc::iovec, count: usize, offset: u64 },
    WriteParts { vectors: *const libc::iovec, count: usize, offset: u64 },
    Sync,
    Allocate { offset: u64, length: u64, mode: i32 },
}

/// Result of a step: its number, and the bytes moved or the error number.
pub type Result = (usize, std::result::Result<usize, i32>);

/// An engine for steps.
pub trait Engine: std::fmt::Debug + Send {
    /// Returns true if starting a step blocks until its end.
    fn is_blocking(&self) -> bool;

    /// Returns true if another step can be started now.
    fn has_room(&mut self) -> bool;

    /// Starts a step, for which there is room, under a number that no other step under way has.
    ///
    /// # Safety
    ///
    /// The memory that the step names, the vectors included, stays valid until its result is returned.
    unsafe fn start(&mut self, number: usize, step: Step);

    /// Submits the started steps to the host. Returns true if none is left.
    fn submit(&mut self) -> bool;

    /// Takes the result of a step, if there is one.
    fn next(&mut self) -> Option<Result>;

    /// Descriptor that is readable when there is a result; negative for none.
    fn file(&self) -> RawFd;
}

/// Engine that carries out each step at once, while all devices wait: so it takes one at a time, and other devices are served
/// in between.
#[derive(Debug)]
pub struct SyncEngine {
    file: Arc<File>,
    results: VecDeque<Result>,
}

impl SyncEngine {
    /// Returns an engine for `file`.
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
            // SAFETY: the caller of `start` keeps vectors and memory valid; if the guest has protected the memory, this is
            // EFAULT.
            Step::ReadParts { vectors, count, offset } => unsafe {
                libc::preadv(file, vectors, count as i32, offset as i64)
            },
            // SAFETY: the caller of `start` keeps vectors and memory valid; if the guest has protected the memory, this is
            // EFAULT.
            Step::WriteParts { vectors, count, offset } => unsafe {
                libc::pwritev(file, vectors, count as i32, offset as i64)
            },
            // SAFETY: all arguments are numbers, and `file` is open.
            Step::Sync => unsafe { libc::fdatasync(file) as isize },
            // SAFETY: all arguments are numbers, and `file` is open.
            Step::Allocate { offset, length, mode } => unsafe {
                libc::fallocate(file, mode, offset as i64, length as i64) as isize
            },
        }
    }
}

impl Engine for SyncEngine {
    fn is_blocking(&self) -> bool {
        true
    }

    fn has_room(&mut self) -> bool {
        self.results.is_empty()
    }

    unsafe fn start(&mut self, number: usize, step: Step) {
        let result = usize::try_from(self.carry_out(step));
        let result = result.map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        self.results.push_back((number, result));
    }

    fn submit(&mut self) -> bool {
        true
    }

    fn next(&mut self) -> Option<Result> {
        self.results.pop_front()
    }

    fn file(&self) -> RawFd {
        -1
    }
}

#[cfg(test)]
mod tests {
    use super::super::uring::Uring;
    use super::*;
    use husk_skip::skip;
    use std::time::{Duration, Instant};

    /// Returns the result of a step; the memory that it names outlives this call.
    fn done(engine: &mut dyn Engine, step: Step) -> std::result::Result<usize, i32> {
        assert!(engine.has_room());
        // SAFETY: this function returns only after the result, or panics; the caller's memory outlives it.
        unsafe { engine.start(3, step) };
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            engine.submit();
            if let Some((number, result)) = engine.next() {
                assert_eq!(number, 3);
                return result;
            }
        }
        panic!("no result of {step:?} in time");
    }

    fn use_of(engine: &mut dyn Engine, file: &File) {
        let (write, read) = ([[1u8; 512], [2; 512]], [[0u8; 512]; 2]);
        let mut vectors = write.map(|_| libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 512 });
        vectors.iter_mut().zip(&write).for_each(|(vector, part)| vector.iov_base = part.as_ptr().cast_mut().cast());
        let parts = Step::WriteParts { vectors: vectors.as_ptr(), count: 2, offset: 512 };
        assert_eq!(done(engine, parts), Ok(1024));
        assert_eq!(done(engine, Step::Write { address: write[1].as_ptr(), length: 512, offset: 0 }), Ok(512));
        assert_eq!(done(engine, Step::Sync), Ok(0));
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let punched = done(engine, Step::Allocate { offset: 512, length: 512, mode });
        assert!(matches!(punched, Ok(0) | Err(libc::EOPNOTSUPP)), "{punched:?}");

        let mut read = read;
        vectors.iter_mut().zip(&mut read).for_each(|(vector, part)| vector.iov_base = part.as_mut_ptr().cast());
        let parts = Step::ReadParts { vectors: vectors.as_ptr(), count: 2, offset: 512 };
        assert_eq!(done(engine, parts), Ok(1024));
        assert_eq!((read[0][0], read[1][511]), (u8::from(punched.is_err()), 2));
        assert_eq!(done(engine, Step::Read { address: read[0].as_mut_ptr(), length: 512, offset: 0 }), Ok(512));
        assert_eq!(read[0], [2; 512]);

        file.set_len(256).expect("it can be shorter");
        assert_eq!(done(engine, Step::Read { address: read[0].as_mut_ptr(), length: 512, offset: 0 }), Ok(256));
        assert_eq!(done(engine, Step::Read { address: read[0].as_mut_ptr(), length: 512, offset: 512 }), Ok(0));
        let nowhere = std::ptr::without_provenance_mut(4096);
        assert_eq!(done(engine, Step::Read { address: nowhere, length: 512, offset: 0 }), Err(libc::EFAULT));
    }

    #[test]
    fn both_engines_do_the_same() {
        let path = std::env::temp_dir().join(format!("husk-engine-{}", std::process::id()));
        for uring in [false, true] {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
            file.set_len(4096).expect("it can be longer");
            let file = Arc::new(file);
            if uring {
                match Uring::new(&file, 8) {
                    Ok(mut engine) => use_of(&mut engine, &file),
                    Err(error) => skip!("io_uring, which this host does not have: {error}"),
                }
            } else {
                use_of(&mut SyncEngine::new(&file), &file);
            }
        }
        std::fs::remove_file(&path).expect("it is there");
    }
}
