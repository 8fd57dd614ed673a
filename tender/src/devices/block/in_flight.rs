//! A request in flight: the steps of which it consists, one after the other.
//!
//! A step that the host carries out in part is followed by a step for the rest. A range that the host cannot zero by itself is
//! written in pieces.

use super::engine::Step;
use crate::devices::ring::Parts;
use husk_abi::block::{DISCARD, FLUSH, READ, WRITE, WRITE_ZEROES};
use husk_abi::ring::{PARTS_MAXIMUM, status};

/// Bytes of zeros written at once. No code writes to them, so they take no memory.
const ZEROS_LENGTH: usize = 256 << 10;

#[repr(align(4096))]
struct Zeros([u8; ZEROS_LENGTH]);

static ZEROS: Zeros = Zeros([0; ZEROS_LENGTH]);

/// A request in flight.
#[derive(Debug)]
pub struct InFlight {
    /// Token of the request.
    pub token: u64,
    /// Guest address of the request's memory, for messages.
    pub address: u64,
    kind: Kind,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "what moves is the box around it, and most requests are transfers")]
enum Kind {
    Transfer(Transfer),
    Flush,
    /// Range, and flags of fallocate(2).
    Allocate {
        offset: u64,
        length: u64,
        mode: i32,
    },
    /// Range to be filled with zeros by writing.
    Zero {
        offset: u64,
        end: u64,
    },
}

/// Transfer of bytes between the disk and guest memory.
#[derive(Debug)]
struct Transfer {
    writes: bool,
    offset: u64,
    vectors: [libc::iovec; PARTS_MAXIMUM],
    /// Vectors that are done, and number of all.
    first: usize,
    count: usize,
    done: usize,
    length: usize,
}

// SAFETY: the vectors lead to guest memory, which stays mapped until the process ends, and only the kernel follows them.
#[expect(unsafe_code, reason = "vectors are pointers, which nobody here follows")]
unsafe impl Send for Transfer {}

/// State of a request after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another step follows.
    Step,
    /// End: bytes of memory read or written, and the status.
    End(usize, u16),
    /// The guest has protected the memory since the request was checked.
    Unreachable,
}

impl InFlight {
    /// Returns the state of a request of `operation` that the disk does not refuse, on this range; `None` if it has no steps.
    pub fn new(token: u64, operation: u16, address: u64, parts: &Parts, (offset, length): (u64, u64)) -> Option<Self> {
        let allocate = |mode| (length > 0).then_some(Kind::Allocate { offset, length, mode });
        let kind = match operation {
            READ => Kind::Transfer(Transfer::new(false, offset, parts)),
            WRITE => Kind::Transfer(Transfer::new(true, offset, parts)),
            FLUSH => Kind::Flush,
            DISCARD => allocate(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE)?,
            WRITE_ZEROES => allocate(libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE)?,
            _ => return None,
        };
        Some(Self { token, address, kind })
    }

    /// Returns the next step, which may name memory of `self`: `self` must not move until the step is done.
    pub fn step(&self) -> Step {
        match &self.kind {
            Kind::Transfer(transfer) => transfer.step(),
            Kind::Flush => Step::Sync,
            Kind::Allocate { offset, length, mode } => Step::Allocate { offset: *offset, length: *length, mode: *mode },
            Kind::Zero { offset, end } => {
                let count = (end - offset).min(ZEROS_LENGTH as u64) as usize;
                Step::Write { address: ZEROS.0.as_ptr(), length: count, offset: *offset }
            }
        }
    }

    /// Bytes of zeros that a step with this `result` has written; 0 for other steps.
    pub fn zeros(&self, result: Result<usize, i32>) -> usize {
        if matches!(self.kind, Kind::Zero { .. }) { result.unwrap_or(0) } else { 0 }
    }

    /// Takes the result of a step: a number of bytes, or an error number.
    pub fn on_complete(&mut self, result: Result<usize, i32>) -> Next {
        let failed = Next::End(0, status::INPUT_OUTPUT);
        match (&mut self.kind, result) {
            (_, Err(libc::EINTR)) => Next::Step,
            (Kind::Transfer(_), Err(libc::EFAULT)) => Next::Unreachable,
            (Kind::Allocate { offset, length, .. }, Err(libc::EOPNOTSUPP | libc::ENOSYS | libc::ENODEV)) => {
                self.kind = Kind::Zero { offset: *offset, end: *offset + *length };
                Next::Step
            }
            // Zero bytes of a transfer: the file ends before the disk does.
            (Kind::Transfer(_) | Kind::Zero { .. }, Ok(0)) | (_, Err(_)) => failed,
            (Kind::Transfer(transfer), Ok(count)) => transfer.advance(count),
            (Kind::Zero { offset, end }, Ok(count)) => {
                *offset += count as u64;
                if *offset < *end { Next::Step } else { Next::End(0, status::DONE) }
            }
            (Kind::Flush | Kind::Allocate { .. }, Ok(_)) => Next::End(0, status::DONE),
        }
    }
}

impl Transfer {
    fn new(writes: bool, offset: u64, parts: &Parts) -> Self {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PARTS_MAXIMUM];
        let count = parts.vectors().len();
        vectors[..count].copy_from_slice(parts.vectors());
        Self { writes, offset, vectors, first: 0, count, done: 0, length: parts.length() }
    }

    fn step(&self) -> Step {
        let vectors = &self.vectors[self.first..self.count];
        let offset = self.offset + self.done as u64;
        match (vectors, self.writes) {
            ([one], false) => Step::Read { address: one.iov_base.cast(), length: one.iov_len, offset },
            ([one], true) => Step::Write { address: one.iov_base.cast_const().cast(), length: one.iov_len, offset },
            (_, false) => Step::ReadParts { vectors: vectors.as_ptr(), count: vectors.len(), offset },
            (_, true) => Step::WriteParts { vectors: vectors.as_ptr(), count: vectors.len(), offset },
        }
    }

    /// Counts `count` more bytes as done.
    fn advance(&mut self, count: usize) -> Next {
        self.done += count;
        if self.done >= self.length {
            return Next::End(self.length, status::DONE);
        }
        let mut left = count;
        for vector in &mut self.vectors[self.first..self.count] {
            let taken = left.min(vector.iov_len);
            vector.iov_base = vector.iov_base.wrapping_byte_add(taken);
            vector.iov_len -= taken;
            left -= taken;
            if vector.iov_len > 0 {
                break;
            }
            self.first += 1;
        }
        Next::Step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: Kind) -> InFlight {
        InFlight { token: 7, address: 0, kind }
    }

    /// A read of 30 bytes to three parts, from byte 100 on; the addresses are never used.
    fn read() -> InFlight {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PARTS_MAXIMUM];
        for (vector, start) in vectors.iter_mut().zip([1000, 2000, 3000]) {
            *vector = libc::iovec { iov_base: std::ptr::without_provenance_mut(start), iov_len: 10 };
        }
        request(Kind::Transfer(Transfer {
            writes: false,
            offset: 100,
            vectors,
            first: 0,
            count: 3,
            done: 0,
            length: 30,
        }))
    }

    #[test]
    fn what_is_done_in_part_goes_on_where_it_stopped() {
        let mut read = read();
        assert!(matches!(read.step(), Step::ReadParts { count: 3, offset: 100, .. }));
        assert_eq!(read.on_complete(Ok(10)), Next::Step);
        assert!(matches!(read.step(), Step::ReadParts { count: 2, offset: 110, .. }));
        assert_eq!(read.on_complete(Err(libc::EINTR)), Next::Step);
        assert_eq!(read.on_complete(Ok(13)), Next::Step);
        let Step::Read { address, length, offset } = read.step() else { panic!("one part is left") };
        assert_eq!((address.addr(), length, offset), (3003, 7, 123));
        assert_eq!(read.on_complete(Ok(7)), Next::End(30, status::DONE));
    }

    #[test]
    fn what_the_host_cannot_do_is_an_error_and_what_the_guest_did_its_fault() {
        assert_eq!(read().on_complete(Ok(0)), Next::End(0, status::INPUT_OUTPUT), "the file has become shorter");
        assert_eq!(read().on_complete(Err(libc::EIO)), Next::End(0, status::INPUT_OUTPUT));
        assert_eq!(read().on_complete(Err(libc::EFAULT)), Next::Unreachable);
        assert_eq!(request(Kind::Flush).on_complete(Err(libc::ENOSPC)), Next::End(0, status::INPUT_OUTPUT));
        assert_eq!(request(Kind::Flush).on_complete(Ok(0)), Next::End(0, status::DONE));
    }

    #[test]
    fn zeros_are_written_where_the_host_has_no_other_way() {
        let length = ZEROS_LENGTH as u64 + 512;
        let mut zero = request(Kind::Allocate { offset: 1024, length, mode: libc::FALLOC_FL_ZERO_RANGE });
        assert!(matches!(zero.step(), Step::Allocate { offset: 1024, .. }));
        assert_eq!(zero.on_complete(Err(libc::EOPNOTSUPP)), Next::Step);
        assert!(matches!(zero.step(), Step::Write { length: ZEROS_LENGTH, offset: 1024, .. }));
        assert_eq!(zero.on_complete(Ok(ZEROS_LENGTH - 512)), Next::Step);
        assert!(matches!(zero.step(), Step::Write { length: 1024, .. }));
        assert_eq!(zero.on_complete(Ok(1024)), Next::End(0, status::DONE));
    }
}
