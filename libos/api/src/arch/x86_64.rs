//! x86-64: the time stamp counter.

#![expect(unsafe_code, reason = "the counter is read by an instruction of its own")]

/// Returns the time stamp counter.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: the contract guarantees that CPL 3 may read the counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}
