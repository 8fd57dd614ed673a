//! FS and GS: the program's thread pointer, and this processor's block.

#![expect(unsafe_code, reason = "the base registers are reached by instructions of their own")]

use core::arch::asm;

/// FS base of the running thread, which is its thread pointer.
#[cfg(target_os = "none")]
#[inline]
pub fn thread_base() -> u64 {
    let base;
    // SAFETY: the boot contract enables FSGSBASE; the instruction reads one register.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Sets the FS base of the running thread. The libos itself uses none.
#[cfg(target_os = "none")]
#[inline]
pub fn set_thread_base(base: u64) {
    // SAFETY: the boot contract enables FSGSBASE; a wrong base affects only the program's own accesses by FS.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

/// Stand-in for the register, which in a test is that of the test itself.
#[cfg(not(target_os = "none"))]
mod stand_in {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static BASE: AtomicU64 = AtomicU64::new(0);

    /// Value of the stand-in.
    pub fn thread_base() -> u64 {
        BASE.load(Relaxed)
    }

    /// Sets the stand-in.
    pub fn set_thread_base(base: u64) {
        BASE.store(base, Relaxed);
    }
}

#[cfg(not(target_os = "none"))]
pub use stand_in::{set_thread_base, thread_base};

/// Sets the GS base, through which the system call entry finds its stack.
pub fn set_processor_base(base: u64) {
    // SAFETY: the boot contract enables FSGSBASE; only the system call entry uses GS, and `entry::prepare` passes the address
    // of its block.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}
