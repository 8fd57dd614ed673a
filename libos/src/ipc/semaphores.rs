//! Sets of semaphores of System V.

use crate::errno::Errno;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Most semaphores in a set, operations of a call, and the highest value, by Linux's defaults.
pub const SEMAPHORES_MAXIMUM: u64 = 32000;
/// See [`SEMAPHORES_MAXIMUM`].
pub const OPERATIONS_MAXIMUM: u64 = 500;
/// See [`SEMAPHORES_MAXIMUM`].
pub const VALUE_MAXIMUM: i32 = 32767;

/// Operation on a semaphore: the kernel's `struct sembuf`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Operation {
    /// Index in the set.
    pub index: u16,
    /// Is added to the value; 0 waits for a value of 0.
    pub by: i16,
    /// [`super::NO_WAIT`], and `SEM_UNDO`, which concerns a process that ends before others.
    pub flags: u16,
}

/// A semaphore.
#[derive(Clone, Copy, Debug, Default)]
pub struct Semaphore {
    /// Value.
    pub value: u16,
    /// Process of the last operation.
    pub process: u32,
}

/// Thread that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Number of the thread.
    pub thread: u32,
    /// Semaphore that it waits for.
    pub index: u16,
    /// True if it waits for a value of 0.
    pub for_zero: bool,
}

/// A set.
#[derive(Debug)]
pub struct Set {
    /// The semaphores.
    pub semaphores: Vec<Semaphore>,
    /// Seconds since 1970 of the last operation.
    pub operated: i64,
    /// Threads that have waited; of some, the call has ended since.
    pub waiting: Vec<Waiting>,
}

impl Set {
    /// Returns a set of semaphores of 0.
    pub fn new(count: u64) -> Result<Self, Errno> {
        let mut semaphores = Vec::new();
        semaphores.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
        semaphores.resize(count as usize, Semaphore::default());
        Ok(Self { semaphores, operated: 0, waiting: Vec::new() })
    }

    /// Carries out all operations, or none: returns the one that has to wait. EFBIG for a semaphore that is not there, ERANGE for a
    /// value that is too high.
    pub fn operate(&mut self, operations: &[Operation], process: u32) -> Result<Option<Operation>, Errno> {
        if operations.iter().any(|operation| usize::from(operation.index) >= self.semaphores.len()) {
            return Err(Errno::EFBIG);
        }
        for (at, operation) in operations.iter().enumerate() {
            let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.index)) else { continue };
            let (value, by) = (i32::from(semaphore.value), i32::from(operation.by));
            let waits = if by == 0 { value != 0 } else { value + by < 0 };
            if waits || value + by > VALUE_MAXIMUM {
                self.revert(operations.get(..at).unwrap_or_default());
                return if waits { Ok(Some(*operation)) } else { Err(Errno::ERANGE) };
            }
            semaphore.value = (value + by) as u16;
        }
        for operation in operations {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.index)) {
                semaphore.process = process;
            }
        }
        Ok(None)
    }

    fn revert(&mut self, operations: &[Operation]) {
        for operation in operations.iter().rev() {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.index)) {
                semaphore.value = (i32::from(semaphore.value) - i32::from(operation.by)) as u16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(index: u16, by: i16) -> Operation {
        Operation { index, by, flags: 0 }
    }

    #[test]
    fn all_operations_are_carried_out_or_none() {
        let mut set = Set::new(2).expect("memory");
        let values = |set: &Set| set.semaphores.iter().map(|semaphore| semaphore.value).collect::<Vec<_>>();
        assert!(set.operate(&[operation(0, 3), operation(1, 0)], 1).expect("there").is_none());
        let waits = set.operate(&[operation(0, -1), operation(0, -1), operation(1, -1)], 1).expect("there");
        assert_eq!(waits.map(|waits| waits.index), Some(1));
        assert_eq!(values(&set), [3, 0]);
        assert_eq!(set.operate(&[operation(1, 1), operation(0, i16::MAX)], 1).map(|_| ()), Err(Errno::ERANGE));
        assert_eq!(set.operate(&[operation(1, 1), operation(2, 1)], 1).map(|_| ()), Err(Errno::EFBIG));
        assert_eq!(values(&set), [3, 0]);
        // A value that the same call has changed counts.
        assert!(set.operate(&[operation(1, 1), operation(1, -1), operation(1, 0)], 1).expect("there").is_none());
    }
}
