//! x86-64: the time stamp counter.

#![expect(unsafe_code, reason = "the counter is read by an instruction of its own")]

/// The time stamp counter.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: the contract promises a counter that CPL 3 may read.
    unsafe { core::arch::x86_64::_rdtsc() }
}
