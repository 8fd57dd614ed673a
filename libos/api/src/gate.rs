//! The gate: the one way out of the guest.

#![expect(unsafe_code, reason = "the gate is a function at an address that the tender tells")]

use crate::boot;
use husk_abi::call::{Number, Status};

/// What the gate looks like from here; see [`husk_abi::call`].
#[cfg(target_os = "none")]
type Gate = extern "sysv64" fn(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64;
/// What stands in for a tender in a test may unwind: that is how a guest ends there.
#[cfg(not(target_os = "none"))]
type Gate = extern "sysv64-unwind" fn(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64;

/// Makes a call to the tender. Arguments that a call does not take are ignored.
#[inline]
pub fn call(number: Number, a: u64, b: u64, c: u64, d: u64) -> Result<u64, Status> {
    Status::check(raw(number as u64, a, b, c, d))
}

/// Makes a call by number, whether it exists or not, and returns the bare result.
#[inline]
pub fn raw(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64 {
    // SAFETY: the contract says that this address holds a function of this type.
    let gate: Gate = unsafe { core::mem::transmute::<u64, Gate>(boot::info().gate) };
    gate(number, a, b, c, d)
}
