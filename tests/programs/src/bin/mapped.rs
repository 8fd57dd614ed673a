//! Calls msync, mlock, munlock and mincore, which have nothing to do where all memory is resident.

use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MS_ASYNC, MS_SYNC, PROT_READ, PROT_WRITE, c_int};
use std::io::Error;
use std::ptr::null_mut;

const PAGE: usize = 4096;

fn told(result: c_int) -> i32 {
    if result == 0 { 0 } else { Error::last_os_error().raw_os_error().expect("an error") }
}

fn main() {
    // Printing allocates its memory now.
    println!("of four pages, all but the third");
    // SAFETY: a new mapping changes nothing.
    let start = unsafe { libc::mmap(null_mut(), 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
    assert_ne!(start, MAP_FAILED);
    let at = |page: usize| start.wrapping_byte_add(page * PAGE);
    // SAFETY: the third page is ours, and unused.
    assert_eq!(unsafe { libc::munmap(at(2), PAGE) }, 0);
    let mut there = [0u8; 4];
    // SAFETY: the first two pages are mapped and ours; the calls write to `there` only.
    unsafe {
        start.cast::<u8>().write_bytes(1, 2 * PAGE);
        println!(
            "msync {} {}",
            told(libc::msync(start, 2 * PAGE, MS_SYNC)),
            told(libc::msync(start, 3 * PAGE, MS_ASYNC))
        );
        println!("odd {}", told(libc::msync(start.wrapping_byte_add(1), PAGE, MS_SYNC)));
        println!("both {}", told(libc::msync(start, PAGE, MS_SYNC | MS_ASYNC)));
        println!("mlock {} {}", told(libc::mlock(start, 2 * PAGE)), told(libc::mlock(at(2), 1)));
        println!("munlock {}", told(libc::munlock(start.wrapping_byte_add(5), PAGE)));
        println!("mincore {}", told(libc::mincore(start, 2 * PAGE, there.as_mut_ptr())));
        println!("mincore over the hole {}", told(libc::mincore(start, 3 * PAGE, there.as_mut_ptr())));
        println!("on the stack {}", told(libc::mlock((&raw const there).cast(), 4)));
    }
    println!("{there:?}");
}
