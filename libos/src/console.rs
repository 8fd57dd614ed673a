//! Calls on the console. They wait for the reader or the writer at the other end, so the lock is let go first.
//!
//! A system call that needs one stops with [`Stop::Gate`]. The processor lets go of the lock, makes the call of the gate, and
//! restarts the system call, which then takes the result. With one processor, no other thread runs in between: the memory stays, and
//! the restart reaches the same call first.

use crate::errno::Errno;
use crate::fs::source::Source;
use crate::memory::sparse;
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::Slice;
use alloc::vec::Vec;
use husk::abi::call::Status;

/// Call on the console of a processor's current thread.
#[derive(Debug, Default)]
pub struct Console {
    /// Call to be made.
    call: Option<Call>,
    /// Bytes of the libos that the call writes.
    bytes: Vec<u8>,
    /// Result of the call that has been made.
    result: Option<Result<u64, Errno>>,
}

/// A call of the gate.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Reads to this memory.
    Read(Slice),
    /// Writes to a stream from this memory.
    Write(u64, Slice),
}

impl Console {
    /// Writes to a stream: 1 output, 2 error. Returns the number of bytes written.
    pub fn write(&mut self, stream: u64, from: Source<'_>) -> SyscallResult {
        if let Some(result) = self.take_result() {
            return Ok(result?);
        }
        let slice = match from {
            Source::Program(slice) => slice,
            Source::Own(bytes) => {
                self.bytes.clear();
                self.bytes.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
                self.bytes.extend_from_slice(bytes);
                Slice::new(self.bytes.as_ptr() as u64, self.bytes.len() as u64)
            }
        };
        self.prepare(Call::Write(stream, slice), slice)
    }

    /// Reads into memory of the program. Returns the number of bytes read; 0 at the end of the input.
    pub fn read(&mut self, into: Slice) -> SyscallResult {
        self.prepare(Call::Read(into), into)
    }

    fn prepare(&mut self, call: Call, memory: Slice) -> SyscallResult {
        debug_assert!(self.result.is_none(), "the result of another call");
        if memory.is_empty() {
            return Ok(0);
        }
        // The tender would end the guest for an invalid address.
        memory.check()?;
        sparse::touch(memory.address, memory.length);
        self.call = Some(call);
        Err(Stop::Gate)
    }

    /// Returns true if a call is to be made.
    #[inline]
    pub fn is_called(&self) -> bool {
        self.call.is_some()
    }

    /// Takes the call that is to be made.
    pub fn take_call(&mut self) -> Option<Call> {
        self.call.take()
    }

    /// Takes the result of the call that has been made.
    pub fn take_result(&mut self) -> Option<Result<u64, Errno>> {
        self.result.take()
    }

    /// Sets the result of the call that has been made; `None` when the system call has been restarted.
    pub fn returned(&mut self, result: Option<Result<u64, Errno>>) {
        self.result = result;
    }
}

impl Call {
    /// Makes the call, which may wait.
    pub fn make(self) -> Result<u64, Errno> {
        let made = match self {
            Self::Read(into) => husk::console::read_at(into.address, into.length),
            Self::Write(stream, from) => husk::console::write_at(stream, from.address, from.length),
        };
        made.map_err(errno)
    }
}

fn errno(status: Status) -> Errno {
    match status {
        Status::Closed => Errno::EPIPE,
        Status::Interrupted => Errno::EINTR,
        Status::NoMemory => Errno::ENOMEM,
        Status::NoSpace => Errno::ENOSPC,
        Status::TooLarge => Errno::EFBIG,
        Status::Directory => Errno::EISDIR,
        Status::NotOpen => Errno::EBADF,
        Status::Invalid | Status::InputOutput => Errno::EIO,
    }
}
