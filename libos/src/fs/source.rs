//! Source of bytes to be written: the program, or the libos itself.

use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;

/// Source of bytes to be written.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Memory that the program claims.
    Program(Slice),
    /// Memory of the libos.
    Own(&'a [u8]),
}

impl<'a> Source<'a> {
    /// Number of bytes.
    pub fn length(self) -> u64 {
        match self {
            Self::Program(slice) => slice.length,
            Self::Own(bytes) => bytes.len() as u64,
        }
    }

    /// The first `count` bytes, or all.
    pub fn first(self, count: u64) -> Self {
        match self {
            Self::Program(slice) => Self::Program(slice.first(count)),
            Self::Own(bytes) => Self::Own(bytes.get(..count as usize).unwrap_or(bytes)),
        }
    }

    /// Returns the bytes after the first `count`.
    pub fn after(self, count: u64) -> Self {
        match self {
            Self::Program(slice) => Self::Program(slice.after(count)),
            Self::Own(bytes) => Self::Own(bytes.get(count as usize..).unwrap_or_default()),
        }
    }

    /// EFAULT unless the program may read all of it.
    pub fn check(self) -> Result<(), Errno> {
        match self {
            Self::Program(slice) if !slice.is_empty() => slice.check().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Copies all bytes to `into`, which is as long.
    pub fn copy_to(self, into: &mut [u8]) -> Result<(), Errno> {
        match self {
            Self::Program(slice) => slice.copy_out(into)?,
            Self::Own(bytes) => into.copy_from_slice(bytes),
        }
        Ok(())
    }

    /// Appends all bytes to `into`, which has room.
    pub fn append_to(self, into: &mut Vec<u8>) -> Result<(), Errno> {
        match self {
            Self::Program(slice) => slice.append_to(into)?,
            Self::Own(bytes) => into.extend_from_slice(bytes),
        }
        Ok(())
    }
}
