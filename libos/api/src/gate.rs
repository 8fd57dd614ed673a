//! The gate: the one way out of the guest.

#![expect(unsafe_code, reason = "the gate is a function at an address that the tender tells")]

use crate::boot;
use husk_abi::call::{Number, Status};

/// What the gate looks like from here; see [`husk_abi::call`].
type Gate = extern "sysv64" fn(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64;

/// Makes a call to the tender. Arguments that a call does not take are ignored.
#[inline]
pub fn call(number: Number, a: u64, b: u64, c: u64, d: u64) -> Result<u64, Status> {
    // SAFETY: the contract says that this address holds a function of this type.
    let gate: Gate = unsafe { core::mem::transmute::<u64, Gate>(boot::info().gate) };
    Status::check(gate(number as u64, a, b, c, d))
}
