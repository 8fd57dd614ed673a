//! FS and GS: the program's thread pointer, and this processor's block.

#![expect(unsafe_code, reason = "the base registers are reached by instructions of their own")]

use core::arch::asm;

/// The running thread's FS base, which is its thread pointer.
#[cfg(target_os = "none")]
#[inline]
pub fn thread_base() -> u64 {
    let base;
    // SAFETY: the contract enables FSGSBASE; the instruction reads one register.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Gives the running thread another FS base. The libos itself uses none.
#[cfg(target_os = "none")]
#[inline]
pub fn set_thread_base(base: u64) {
    // SAFETY: the contract enables FSGSBASE; a base that the program cannot use hurts the program only.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

/// In a test the register is that of the test itself: a word stands in for it.
#[cfg(not(target_os = "none"))]
mod stand_in {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static BASE: AtomicU64 = AtomicU64::new(0);

    /// The word.
    pub fn thread_base() -> u64 {
        BASE.load(Relaxed)
    }

    /// Gives it another value.
    pub fn set_thread_base(base: u64) {
        BASE.store(base, Relaxed);
    }
}

#[cfg(not(target_os = "none"))]
pub use stand_in::{set_thread_base, thread_base};

/// Sets the GS base, through which the system call entry finds its stack.
pub fn set_processor_base(base: u64) {
    // SAFETY: the contract enables FSGSBASE; only the entry uses GS, and it relies on the caller, `entry::prepare`.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}
