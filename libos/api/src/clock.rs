//! Time, read without leaving the guest.

#![expect(unsafe_code, reason = "the clock page is tender memory, reached by address")]

use crate::{arch, boot, gate};
use husk_abi::call::Number;
use husk_abi::clock::{Page, Parameters};

/// Nanoseconds since an arbitrary start; never goes back.
#[inline]
pub fn monotonic_ns() -> u64 {
    parameters().monotonic_ns(arch::ticks())
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
#[inline]
pub fn realtime_ns() -> u64 {
    parameters().realtime_ns(arch::ticks())
}

/// Sleeps until the monotonic clock reaches `deadline_ns`.
pub fn sleep_until(deadline_ns: u64) {
    while monotonic_ns() < deadline_ns {
        let _ = gate::call(Number::Wait, deadline_ns, 0, 0, 0);
    }
}

/// Sleeps for `duration`.
pub fn sleep(duration: core::time::Duration) {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    sleep_until(monotonic_ns().saturating_add(ns));
}

#[inline]
fn parameters() -> Parameters {
    // SAFETY: the contract says that a clock page lies there, readable for good; its fields are atomics.
    let page = unsafe { &*(boot::info().clock as *const Page) };
    page.read()
}
