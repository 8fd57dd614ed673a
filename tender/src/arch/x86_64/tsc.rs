//! The time stamp counter.

#![expect(unsafe_code, reason = "the counter is read by an instruction of its own")]

use std::arch::x86_64::{__cpuid, _rdtsc};

/// Reads the host's time stamp counter.
pub fn read() -> u64 {
    // SAFETY: reading the counter has no preconditions on x86-64.
    unsafe { _rdtsc() }
}

/// Returns true if the processor promises that the counter has one rate and never stops (SDM volume 3, 18.17.1).
pub fn is_invariant() -> bool {
    const POWER: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & INVARIANT != 0
}
