//! Memory that the program merely claims: the only way to turn a system call's pointer into bytes.
//!
//! Program and libos share one address space, and other threads of the program may write to memory that is read here: so no
//! references to program memory are formed; bytes are copied in and out, once. A claim outside the program's memory is EFAULT;
//! one into a guard page inside it ends the guest, as it would any program under Husk.

#![expect(unsafe_code, reason = "the one gate between pointers that the program claims and bytes")]

use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// First address of the window, and the first after it. Everything until [`set_window`] is called, as in unit tests.
static WINDOW: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));

/// Sets the addresses that a program may name at all. Called once, before the program runs.
pub fn set_window(start: u64, end: u64) {
    WINDOW.0.store(start, Relaxed);
    WINDOW.1.store(end, Relaxed);
}

/// Returns true if a device may access all of `slice`, also for writing: the heap and the main stack. The image may be
/// constant, and devices do not access the sparse region ([`husk::abi::memory`]).
pub fn is_for_devices(slice: Slice) -> bool {
    let info = husk::boot::info();
    let end = slice.address.saturating_add(slice.length);
    [info.heap, info.main_stack].iter().any(|region| region.contains(slice.address) && end <= region.end())
}

/// Range of bytes that the program claims as its own.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// First address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Slice {
    /// The claim of `length` bytes at `address`.
    pub const fn new(address: u64, length: u64) -> Self {
        Self { address, length }
    }

    /// Returns true if there is nothing to copy.
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Returns the claim without its first `count` bytes; empty if there are no more.
    pub const fn after(self, count: u64) -> Self {
        let count = if count < self.length { count } else { self.length };
        Self { address: self.address.wrapping_add(count), length: self.length - count }
    }

    /// Returns the claim cut to at most `count` bytes.
    pub const fn first(self, count: u64) -> Self {
        Self { address: self.address, length: if count < self.length { count } else { self.length } }
    }

    /// Returns true if any byte is in both claims.
    pub const fn meets(self, other: Self) -> bool {
        let (end, other_end) = (self.address.saturating_add(self.length), other.address.saturating_add(other.length));
        self.address < other_end && other.address < end
    }

    /// EFAULT unless the whole range lies in the program's window.
    pub fn check(self) -> Result<*mut u8, Errno> {
        let end = self.address.checked_add(self.length).ok_or(Errno::EFAULT)?;
        if self.address == 0 || self.address < WINDOW.0.load(Relaxed) || end > WINDOW.1.load(Relaxed) {
            return Err(Errno::EFAULT);
        }
        Ok(self.address as *mut u8)
    }

    /// Copies bytes out of the program's memory; `into` and the claim must have the same length.
    pub fn copy_out(self, into: &mut [u8]) -> Result<(), Errno> {
        debug_assert_eq!(self.length, into.len() as u64);
        if into.is_empty() {
            return Ok(());
        }
        let from = self.first(into.len() as u64).check()?;
        // SAFETY: `check` found `from` to be inside the program's window, and `into` is ours, so they do not overlap.
        unsafe { from.cast_const().copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Returns a copy of the claim.
    pub fn boxed(self) -> Result<Box<[u8]>, Errno> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(self.length as usize).map_err(|_| Errno::ENOMEM)?;
        self.append_to(&mut bytes)?;
        Ok(bytes.into_boxed_slice())
    }

    /// Appends the claim to `into`, which must have room for it: bytes about to be written are not zeroed first.
    pub fn append_to(self, into: &mut Vec<u8>) -> Result<(), Errno> {
        if self.is_empty() {
            return Ok(());
        }
        let from = self.check()?;
        let length = self.length as usize;
        let Some(room) = into.spare_capacity_mut().get_mut(..length) else {
            return Err(Errno::ENOMEM);
        };
        // SAFETY: `check` found `from` to be inside the program's window, and `room` is ours, so they do not overlap.
        unsafe { from.cast_const().copy_to_nonoverlapping(room.as_mut_ptr().cast(), length) };
        // SAFETY: the copy above initialised the first `length` bytes of the spare capacity.
        unsafe { into.set_len(into.len() + length) };
        Ok(())
    }

    /// Copies `from` into the program's memory; the claim must be at least as long.
    pub fn copy_in(self, from: &[u8]) -> Result<(), Errno> {
        debug_assert!(self.length >= from.len() as u64);
        if from.is_empty() {
            return Ok(());
        }
        let into = self.first(from.len() as u64).check()?;
        // SAFETY: `check` found `into` to be inside the program's window, and `from` is ours, so they do not overlap.
        unsafe { into.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    /// Fills the claim with zeros.
    pub fn zero(self) -> Result<(), Errno> {
        if self.is_empty() {
            return Ok(());
        }
        let into = self.check()?;
        // SAFETY: `check` found the whole claim to be inside the program's window.
        unsafe { into.write_bytes(0, self.length as usize) };
        Ok(())
    }

    /// Copies the whole claim into a vector of the libos.
    pub fn to_vec(self) -> Result<Vec<u8>, Errno> {
        self.check()?;
        let length = usize::try_from(self.length).map_err(|_| Errno::EFAULT)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        self.copy_out(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads a `T` from the program's address `address`, aligned or not.
pub fn read<T: FromBytes>(address: u64) -> Result<T, Errno> {
    let from = Slice::new(address, size_of::<T>() as u64).check()?;
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: `check` found the bytes to be inside the program's window; the destination is ours and as long.
    unsafe { from.cast_const().copy_to_nonoverlapping(value.as_mut_ptr().cast(), size_of::<T>()) };
    // SAFETY: the copy initialised every byte of `value`, and any bytes are a valid `T` because of `T: FromBytes`.
    Ok(unsafe { value.assume_init() })
}

/// Writes `value` to the program's address `address`, aligned or not.
pub fn write<T: IntoBytes + Immutable>(address: u64, value: &T) -> Result<(), Errno> {
    let bytes = value.as_bytes();
    Slice::new(address, bytes.len() as u64).copy_in(bytes)
}

/// Addresses of `count` entries of `size` bytes, one after the other. They saturate at the last address, which is not the
/// program's.
pub fn entries(address: u64, size: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |index| address.saturating_add(index.saturating_mul(size)))
}

/// Bytes that [`read_string`] reads at once. Pages are multiples of it, so the surplus bytes that it reads after a NUL are in
/// the page of the NUL.
const BLOCK: u64 = 64;

/// Reads the NUL-terminated string at `address`, without its NUL; ENAMETOOLONG if `limit` bytes hold none.
pub fn read_string(address: u64, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        let length = bytes.len();
        let start = address.wrapping_add(length as u64);
        bytes.try_reserve(BLOCK as usize).map_err(|_| Errno::ENOMEM)?;
        Slice::new(start, BLOCK - start % BLOCK).append_to(&mut bytes)?;
        if let Some(end) = bytes.iter().skip(length).position(|byte| *byte == 0).map(|at| length + at) {
            bytes.truncate(end);
            return if end < limit { Ok(bytes) } else { Err(Errno::ENAMETOOLONG) };
        }
    }
    Err(Errno::ENAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory in whole blocks, like pages.
    #[repr(align(64))]
    struct Blocks([u8; 6 * BLOCK as usize]);

    #[test]
    fn what_is_written_is_read() {
        let mut memory = Blocks([0; 6 * BLOCK as usize]);
        let address = memory.0.as_mut_ptr() as u64;
        write(address + 1, &0x1234_5678u32).expect("own memory");
        assert_eq!(read::<u32>(address + 1), Ok(0x1234_5678));
        Slice::new(address, 3).copy_in(b"ab\0").expect("own memory");
        assert_eq!(read_string(address, 16).as_deref(), Ok(&b"ab"[..]));
        assert_eq!(read_string(address, 2), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn strings_are_read_whole_from_any_alignment() {
        for start in 0..70 {
            let mut memory = Blocks([b'x'; 6 * BLOCK as usize]);
            memory.0[250] = 0;
            let address = memory.0.as_ptr() as u64 + start;
            let string = read_string(address, 4096).expect("own memory");
            assert_eq!(string, &memory.0[start as usize..250]);
            assert_eq!(read_string(address, string.len()), Err(Errno::ENAMETOOLONG));
            assert_eq!(read_string(address, string.len() + 1).as_ref(), Ok(&string));
        }
    }

    #[test]
    fn entries_behind_the_last_address_are_refused() {
        assert_eq!(entries(8, 16, 3).collect::<Vec<_>>(), [8, 24, 40]);
        assert!(entries(u64::MAX - 20, 16, 4).skip(2).all(|entry| read::<u16>(entry) == Err(Errno::EFAULT)));
    }

    #[test]
    fn null_and_wrapping_claims_are_refused() {
        assert_eq!(read::<u32>(0), Err(Errno::EFAULT));
        assert_eq!(Slice::new(u64::MAX, 2).check(), Err(Errno::EFAULT));
    }
}
