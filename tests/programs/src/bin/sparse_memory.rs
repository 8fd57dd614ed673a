//! Reserves more memory than there is, and uses it in the way that the argument names.

use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, c_void};
use std::arch::asm;
use std::ptr::null_mut;

const SIZE: usize = 2 << 30;
const PAGE: usize = 4096;

/// Number of the call that reads input.
const CONSOLE_READ: usize = 2;

fn reserve() -> *mut u8 {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    // SAFETY: a new mapping changes nothing.
    let start = unsafe { libc::mmap(null_mut(), SIZE, PROT_NONE, flags, -1, 0) };
    assert_ne!(start, MAP_FAILED);
    // SAFETY: the mapping is ours.
    assert_eq!(unsafe { libc::mprotect(start, SIZE, PROT_READ | PROT_WRITE) }, 0);
    start.cast()
}

fn touch(start: *mut u8, pages: impl Iterator<Item = usize>) {
    // SAFETY: callers name pages of their reservation.
    pages.for_each(|page| unsafe { start.add(page * PAGE).write_volatile(1) });
}

fn main() {
    let start = reserve();
    match std::env::args().nth(1).as_deref() {
        // One touch for each page table.
        Some("here and there") => {
            touch(start, (0..SIZE / PAGE).step_by(1024));
            // SAFETY: the page is ours.
            assert!((0..SIZE).step_by(1024 * PAGE).all(|place| unsafe { start.add(place).read() } == 1));
            println!("here and there");
        }
        Some("again and again") => {
            for _ in 0..8 {
                touch(start, 0..(32 << 20) / PAGE);
                // SAFETY: the pages are ours.
                assert_eq!(unsafe { libc::madvise(start.cast::<c_void>(), 32 << 20, libc::MADV_DONTNEED) }, 0);
                // SAFETY: the page is ours.
                assert_eq!(unsafe { start.add(PAGE).read_volatile() }, 0);
            }
            println!("again and again");
        }
        Some("everywhere") => touch(start, 0..SIZE / PAGE),
        Some("by the tender") => {
            // Far from all touched pages, and from those that were mapped together with them.
            let untouched = start.wrapping_add(SIZE / 2);
            let gate: usize = std::env::args().nth(2).and_then(|gate| gate.parse().ok()).expect("where the gate is");
            // SAFETY: none: the gate's answer to memory that is not touched yet is what is tested.
            unsafe {
                asm!("call {}", in(reg) gate, in("rdi") CONSOLE_READ, in("rsi") untouched, in("rdx") PAGE,
                    out("rax") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            }
            println!("it wrote there");
        }
        other => panic!("what is {other:?}?"),
    }
}
