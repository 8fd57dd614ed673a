//! x86-64: the ways in and out of the libos, and what a thread switch saves.

pub mod base;
pub mod entry;
#[cfg(target_os = "none")]
mod note;
pub mod registers;
pub mod signal_frame;
pub mod vdso;
pub mod vector;

/// `AT_PLATFORM`, and what uname(2) calls the machine.
pub const PLATFORM: &str = "x86_64";

/// `AT_HWCAP`: the features in EDX of CPUID leaf 1, as Linux gives them.
pub fn capabilities() -> u64 {
    u64::from(core::arch::x86_64::__cpuid(1).edx)
}
