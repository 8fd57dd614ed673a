//! Engine that has many steps under way at once: io_uring(7).
//!
//! Operations in a ring bypass the seccomp filter. So the ring itself is restricted to the operations of steps before it takes
//! anything (IORING_REGISTER_RESTRICTIONS).

#![expect(unsafe_code, reason = "the kernel is handed guest memory by address")]

use super::engine::{Engine, Result, Step};
use io_uring::register::Restriction;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fixed, FsyncFlags};
use io_uring::{IoUring, opcode};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// An io_uring.
pub struct Uring {
    ring: IoUring,
    /// Steps pushed to the ring, but not yet submitted to the kernel.
    unsubmitted: usize,
    in_flight: usize,
    room: usize,
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uring({} of {})", self.in_flight, self.room)
    }
}

impl Uring {
    /// Creates a ring for up to `steps` at once on `file`, a power of two. Any thread may use it, one at a time.
    pub fn new(file: &File, steps: u32) -> io::Result<Self> {
        // To post a result, the kernel interrupts the thread that started the step (no IORING_SETUP_COOP_TASKRUN): so a vCPU
        // thread cannot keep the result from the device thread while its guest runs.
        let ring = IoUring::builder().setup_r_disabled().build(steps)?;
        let submitter = ring.submitter();
        submitter.register_files(&[file.as_raw_fd()])?;
        submitter.register_restrictions(&mut restrictions())?;
        submitter.register_enable_rings()?;
        // A seccomp filter may allow io_uring_setup and refuse io_uring_enter: then steps would wait for ever.
        // SAFETY: nothing is submitted, and no signal mask is passed.
        unsafe { submitter.enter::<libc::sigset_t>(0, 0, 0, None) }?;
        Ok(Self { ring, unsubmitted: 0, in_flight: 0, room: steps as usize })
    }

    fn entry(step: Step) -> Entry {
        const FILE: Fixed = Fixed(0);
        match step {
            Step::Read { address, length, offset } => {
                opcode::Read::new(FILE, address, length as u32).offset(offset).build()
            }
            Step::Write { address, length, offset } => {
                opcode::Write::new(FILE, address, length as u32).offset(offset).build()
            }
            Step::ReadParts { vectors, count, offset } => {
                opcode::Readv::new(FILE, vectors, count as u32).offset(offset).build()
            }
            Step::WriteParts { vectors, count, offset } => {
                opcode::Writev::new(FILE, vectors, count as u32).offset(offset).build()
            }
            Step::Sync => opcode::Fsync::new(FILE).flags(FsyncFlags::DATASYNC).build(),
            Step::Allocate { offset, length, mode } => {
                opcode::Fallocate::new(FILE, length).offset(offset).mode(mode).build()
            }
        }
    }
}

/// Restrictions of a ring: only the operations that [`Uring::entry`] makes, on the registered file; no more registrations.
fn restrictions() -> [Restriction; 7] {
    [
        Restriction::sqe_flags_required(Flags::FIXED_FILE.bits()),
        Restriction::sqe_op(opcode::Read::CODE),
        Restriction::sqe_op(opcode::Write::CODE),
        Restriction::sqe_op(opcode::Readv::CODE),
        Restriction::sqe_op(opcode::Writev::CODE),
        Restriction::sqe_op(opcode::Fsync::CODE),
        Restriction::sqe_op(opcode::Fallocate::CODE),
    ]
}

impl Engine for Uring {
    fn is_blocking(&self) -> bool {
        false
    }

    fn has_room(&mut self) -> bool {
        self.in_flight < self.room
    }

    unsafe fn start(&mut self, number: usize, step: Step) {
        let entry = Self::entry(step).user_data(number as u64);
        // SAFETY: the caller keeps the step's memory until its result; if the guest has protected it, the result is EFAULT.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        debug_assert!(pushed.is_ok(), "the ring is as long as there are steps under way");
        self.unsubmitted += 1;
        self.in_flight += 1;
    }

    fn submit(&mut self) -> bool {
        if self.unsubmitted > 0 {
            // If interrupted or short of memory, the kernel takes fewer; the rest goes with the next call.
            self.unsubmitted -= self.ring.submit().unwrap_or(0).min(self.unsubmitted);
        }
        self.unsubmitted == 0
    }

    fn next(&mut self) -> Option<Result> {
        if self.in_flight == 0 {
            return None;
        }
        let completion = self.ring.completion().next()?;
        self.in_flight -= 1;
        let result = completion.result();
        Some((completion.user_data() as usize, usize::try_from(result).map_err(|_| -result)))
    }

    fn file(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_skip::skip;
    use io_uring::types::Fd;

    #[test]
    fn a_ring_takes_nothing_but_steps() {
        let path = std::env::temp_dir().join(format!("husk-uring-{}", std::process::id()));
        std::fs::write(&path, [7; 512]).expect("a file");
        let file = File::open(&path).expect("the file");
        let _ = std::fs::remove_file(&path);
        let mut uring = match Uring::new(&file, 8) {
            Ok(uring) => uring,
            Err(error) => return skip!("io_uring, which this host does not have: {error}"),
        };
        let mut bytes = [0; 16];
        let read = Uring::entry(Step::Read { address: bytes.as_mut_ptr(), length: 16, offset: 0 });
        let mut answer = |entry: Entry| {
            // SAFETY: the names and the buffer live until the result is here.
            unsafe { uring.ring.submission().push(&entry) }.expect("room");
            uring.ring.submit_and_wait(1).expect("a result");
            uring.ring.completion().next().expect("one").result()
        };
        assert_eq!(answer(read), 16);
        let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), c"/etc/passwd".as_ptr()).build();
        let unlink = opcode::UnlinkAt::new(Fd(libc::AT_FDCWD), c"/tmp/husk-nothing".as_ptr()).build();
        let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build();
        // Standard output instead of the registered file, by an operation that is allowed otherwise.
        let other = opcode::Write::new(Fd(1), bytes.as_ptr(), 16).build();
        for refused in [open, unlink, socket, other] {
            assert_eq!(answer(refused), -libc::EACCES);
        }
        assert!(uring.ring.submitter().register_files(&[0]).is_err());
    }
}
