//! x86-64: entry to and exit from the libos, and the state that a thread switch saves.

pub mod base;
mod entry;
pub mod fiber;
#[cfg(target_os = "none")]
mod note;
pub mod processor;
pub mod registers;
pub mod signal_frame;
pub mod vdso;
pub mod vector;

/// `AT_PLATFORM`, and uname(2)'s name for the machine.
pub const PLATFORM: &str = "x86_64";

/// `AT_HWCAP`: the features in EDX of CPUID leaf 1, as on Linux.
pub fn capabilities() -> u64 {
    u64::from(core::arch::x86_64::__cpuid(1).edx)
}
