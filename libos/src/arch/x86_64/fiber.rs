//! Fibers: libos code on a stack of its own, which suspends itself in the middle and is resumed later.
//!
//! A switch saves the registers that a function preserves (System V ABI, 3.2.1) on the stack that it leaves; all others are the
//! caller's to save. The libos has no vector state. Both sides of a switch run with the lock of the libos held.

#![expect(unsafe_code, reason = "naked functions change the stack")]

use core::arch::naked_asm;

/// Stack pointers of a fiber and of the code that resumes it.
#[derive(Debug)]
pub struct Stacks {
    /// Of the fiber, while it is suspended.
    fiber: u64,
    /// Of the code that has resumed it, while the fiber runs.
    resumer: u64,
}

impl Stacks {
    /// Stacks of no fiber.
    pub const EMPTY: Self = Self { fiber: 0, resumer: 0 };

    /// Prepares a fiber that runs `main(argument)` on the stack below the address `top`.
    ///
    /// # Safety
    ///
    /// The stack is large enough for `main`, used by nothing else, and stays.
    pub unsafe fn new(top: u64, main: extern "sysv64" fn(u64) -> !, argument: u64) -> Self {
        // As `switch` leaves them: r15, r14, r13, r12, rbx, rbp, and the address at which it returns.
        let frame = [0, 0, main as *const () as u64, argument, 0, 0, start as *const () as u64, 0];
        let top = top & !15;
        let fiber = top - size_of_val(&frame) as u64;
        // SAFETY: the caller guarantees that the stack is there, and not in use.
        unsafe { (fiber as *mut [u64; 8]).write(frame) };
        Self { fiber, resumer: 0 }
    }

    /// Runs the fiber until it suspends itself.
    ///
    /// # Safety
    ///
    /// `stacks` is that of a fiber which is suspended.
    pub unsafe fn resume(stacks: *mut Self) {
        // SAFETY: the caller guarantees that the pointer is valid.
        let resumer = unsafe { &raw mut (*stacks).resumer };
        // SAFETY: as above.
        let fiber = unsafe { (*stacks).fiber };
        // SAFETY: `fiber` is where the fiber has been suspended, or what `new` has prepared.
        unsafe { switch(resumer, fiber) };
    }

    /// Suspends the fiber, which continues when it is resumed.
    ///
    /// # Safety
    ///
    /// `stacks` is that of the fiber which calls this.
    pub unsafe fn suspend(stacks: *mut Self) {
        // SAFETY: the caller guarantees that the pointer is valid.
        let fiber = unsafe { &raw mut (*stacks).fiber };
        // SAFETY: as above.
        let resumer = unsafe { (*stacks).resumer };
        // SAFETY: `resumer` is where the fiber has been resumed.
        unsafe { switch(fiber, resumer) };
    }
}

/// Saves the stack pointer at `from`, and continues with the stack pointer `to`.
#[unsafe(naked)]
unsafe extern "sysv64" fn switch(from: *mut u64, to: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// First code of a fiber: calls the function in r13 with r12. Above it on the stack is a return address of 0, where an unwinder ends.
#[unsafe(naked)]
extern "sysv64" fn start() {
    naked_asm!("mov rdi, r12", "call r13", "ud2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    static COUNT: AtomicU64 = AtomicU64::new(0);

    extern "sysv64" fn count(stacks: u64) -> ! {
        loop {
            COUNT.fetch_add(1, Relaxed);
            // SAFETY: the fiber itself calls this.
            unsafe { Stacks::suspend(stacks as *mut Stacks) };
        }
    }

    #[test]
    fn a_fiber_continues_where_it_was_suspended() {
        let mut stack = vec![0_u128; 1024];
        let top = stack.as_mut_ptr_range().end as u64;
        let stacks = Box::into_raw(Box::new(Stacks::EMPTY));
        // SAFETY: nothing else uses the stack.
        let made = unsafe { Stacks::new(top, count, stacks as u64) };
        // SAFETY: the fiber has not run yet.
        unsafe { stacks.write(made) };
        for expected in 1..=3 {
            // SAFETY: the fiber is suspended.
            unsafe { Stacks::resume(stacks) };
            assert_eq!(COUNT.load(Relaxed), expected);
        }
        // SAFETY: it was made above, and the fiber, which never runs again, owns nothing.
        drop(unsafe { Box::from_raw(stacks) });
    }
}
