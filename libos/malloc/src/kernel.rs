//! The system calls that the allocator makes. They leave `errno` alone.

#![expect(unsafe_code, reason = "system calls")]

use crate::pages::Pages;
use core::arch::asm;
use core::sync::atomic::AtomicU32;

const WRITE: usize = 1;
const MMAP: usize = 9;
const MUNMAP: usize = 11;
const MREMAP: usize = 25;
const MADVISE: usize = 28;
const FUTEX: usize = 202;

const READ_WRITE: usize = 3;
const PRIVATE_ANONYMOUS: usize = 0x22;
/// MAP_FIXED_NOREPLACE: at the given address, without replacing another mapping.
const NOT_IN_PLACE: usize = 0x10_0000;
const MAY_MOVE: usize = 1;
const DONT_NEED: usize = 4;
const WAIT_PRIVATE: usize = 128;
const WAKE_PRIVATE: usize = 129;

/// The kernel as a source of pages.
pub struct Kernel;

impl Pages for Kernel {
    fn map(&self, length: usize) -> Option<usize> {
        // SAFETY: a new mapping changes no other.
        succeeded(unsafe { call(MMAP, [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]) })
    }

    fn map_at(&self, address: usize, length: usize) -> bool {
        // SAFETY: with MAP_FIXED_NOREPLACE a new mapping changes no other.
        let mapped = succeeded(unsafe {
            call(MMAP, [address, length, READ_WRITE, PRIVATE_ANONYMOUS | NOT_IN_PLACE, usize::MAX, 0])
        });
        if let Some(elsewhere) = mapped.filter(|mapped| *mapped != address) {
            self.unmap(elsewhere, length);
        }
        mapped == Some(address)
    }

    fn unmap(&self, address: usize, length: usize) {
        // SAFETY: the heap mapped these pages and uses them no more.
        unsafe { call(MUNMAP, [address, length, 0, 0, 0, 0]) };
    }

    fn resize(&self, address: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: the heap mapped these pages, and the owner of the block in them has asked for the change.
        succeeded(unsafe { call(MREMAP, [address, old, new, MAY_MOVE, 0, 0]) })
    }

    fn discard(&self, address: usize, length: usize) {
        // SAFETY: the heap mapped these pages, and no block in them is in use.
        unsafe { call(MADVISE, [address, length, DONT_NEED, 0, 0, 0]) };
    }

    fn fault(&self, message: &str) -> ! {
        // SAFETY: the kernel only reads the message, which is valid for the call.
        unsafe { call(WRITE, [2, message.as_ptr() as usize, message.len(), 0, 0, 0]) };
        abort()
    }
}

#[cfg(target_os = "none")]
fn abort() -> ! {
    // SAFETY: declared as in the C library; the function never returns.
    unsafe extern "C" {
        safe fn abort() -> !;
    }
    abort()
}

#[cfg(not(target_os = "none"))]
fn abort() -> ! {
    panic!("a block was misused")
}

/// Blocks until woken (FUTEX_WAIT), unless `word` has another value.
pub fn sleep_while(word: &AtomicU32, value: u32) {
    // SAFETY: the kernel only reads the word, which outlives the call.
    unsafe { call(FUTEX, [word.as_ptr() as usize, WAIT_PRIVATE, value as usize, 0, 0, 0]) };
}

/// Wakes a thread that waits for `word` (FUTEX_WAKE).
pub fn wake_one(word: &AtomicU32) {
    // SAFETY: the kernel uses the word's address only as a key.
    unsafe { call(FUTEX, [word.as_ptr() as usize, WAKE_PRIVATE, 1, 0, 0, 0]) };
}

fn succeeded(result: usize) -> Option<usize> {
    (result < usize::MAX - 4095).then_some(result)
}

/// # Safety
///
/// The arguments satisfy the conditions of the system call.
#[inline(never)]
unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let result;
    // SAFETY: the call changes the registers named here, and memory that the caller guarantees it may.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}
