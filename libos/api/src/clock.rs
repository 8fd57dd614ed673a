//! Time, read without an exit.

#![expect(unsafe_code, reason = "the clock page is tender memory, reached by address")]

use crate::{arch, boot, gate};
use husk_abi::call::Number;
use husk_abi::clock::{Page, Parameters};

/// Nanoseconds since an arbitrary start; never goes back.
#[inline]
pub fn monotonic_ns() -> u64 {
    let (parameters, ticks) = read();
    parameters.monotonic_ns(ticks)
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
#[inline]
pub fn realtime_ns() -> u64 {
    let (parameters, ticks) = read();
    parameters.realtime_ns(ticks)
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

/// Returns parameters that hold, and the counter.
#[inline]
fn read() -> (Parameters, u64) {
    let (parameters, ticks) = (page().read(), arch::ticks());
    if parameters.hold_at(ticks) { (parameters, ticks) } else { renew() }
}

/// Makes the tender update the page. If the page does not hold even then, the counter is useless, and the page's base is
/// returned as the counter.
#[cold]
fn renew() -> (Parameters, u64) {
    // The call never fails.
    let _ = gate::call(Number::Time, 0, 0, 0, 0);
    let (parameters, ticks) = (page().read(), arch::ticks());
    (parameters, if parameters.hold_at(ticks) { ticks } else { parameters.tsc })
}

#[inline]
fn page() -> &'static Page {
    // SAFETY: the contract guarantees a clock page at this address, readable for the guest's lifetime; its fields are atomics.
    unsafe { &*(boot::info().clock as *const Page) }
}
