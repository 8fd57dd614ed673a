//! The gate: the one way out of the guest.

#![expect(unsafe_code, reason = "the gate is a function at an address that the tender tells")]

use crate::boot;
use husk_abi::call::{Number, Status};

/// Type of the gate; see [`husk_abi::call`].
#[cfg(target_os = "none")]
type Gate = extern "sysv64" fn(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64;
/// Type of the gate in a test on the host: the stand-in for a tender may unwind, because a guest ends by unwinding there.
#[cfg(not(target_os = "none"))]
type Gate = extern "sysv64-unwind" fn(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64;

/// Makes a call to the tender. Arguments that a call does not take are ignored.
#[inline]
pub fn call(number: Number, a: u64, b: u64, c: u64, d: u64) -> Result<u64, Status> {
    Status::check(raw(number as u64, a, b, c, d))
}

/// Makes a call by number, existing or not, and returns the bare result.
#[inline]
pub fn raw(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64 {
    // SAFETY: the contract guarantees a function of this type at this address; the tender filled in the address.
    let gate: Gate = unsafe { core::mem::transmute::<u64, Gate>(boot::info().gate) };
    gate(number, a, b, c, d)
}
