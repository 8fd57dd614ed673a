//! Arguments in the program's memory, and conversions of results.

use crate::errno::Errno;
use crate::fs::layout::Vector;
use crate::fs::path::PATH_MAXIMUM;
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::{self, Slice};
use alloc::vec::Vec;

/// Most buffers of one call.
const VECTORS_MAXIMUM: u64 = 1024;

/// The path at `address`.
pub fn path(address: u64) -> Result<Vec<u8>, Errno> {
    user::read_string(address, PATH_MAXIMUM)
}

/// The claims in the `count` vectors at an address.
pub fn each_slice(vectors: u64, count: u64) -> Result<Vec<Slice>, Errno> {
    if count > VECTORS_MAXIMUM {
        return Err(Errno::EINVAL);
    }
    let mut slices = Vec::new();
    slices.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    let mut total = 0u64;
    for address in user::entries(vectors, size_of::<Vector>() as u64, count) {
        let Vector { address, length } = user::read(address)?;
        total = total.checked_add(length).filter(|total| *total <= i64::MAX as u64).ok_or(Errno::EINVAL)?;
        slices.push(Slice::new(address, length));
    }
    Ok(slices)
}

/// Converts a result without a value to an answer.
pub fn done<E: Into<Stop>>(result: Result<(), E>) -> SyscallResult {
    result.map(|()| 0).map_err(Into::into)
}

/// Converts a descriptor to an answer.
pub fn descriptor(result: Result<i32, Errno>) -> SyscallResult {
    Ok(result? as u64)
}
