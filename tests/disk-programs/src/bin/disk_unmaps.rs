//! Takes memory away in every way while another thread has a disk read into it, and uses the addresses for something
//! else: the read succeeds, and none of its bytes get there.

use libc::{
    MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE, c_void,
};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

const LENGTH: usize = 256 << 10;
const OPEN: i32 = PROT_READ | PROT_WRITE;
const PRIVATE: i32 = MAP_PRIVATE | MAP_ANONYMOUS;
const ROUNDS: usize = 20;

/// Threads that are about to read.
static READING: AtomicUsize = AtomicUsize::new(0);

fn map(at: *mut c_void, flags: i32) -> *mut c_void {
    // SAFETY: the kernel chooses the address, or `at` is a mapping of ours that is replaced.
    let mapped = unsafe { libc::mmap(at, LENGTH, OPEN, PRIVATE | flags, -1, 0) };
    assert_ne!(mapped, MAP_FAILED);
    mapped
}

fn unmap(at: *mut c_void) {
    // SAFETY: the mapping is ours.
    assert_eq!(unsafe { libc::munmap(at, LENGTH) }, 0);
}

/// Takes the memory away, and returns the address of memory that must hold zeros.
type Take = fn(*mut c_void) -> *mut c_void;

fn unmapped(at: *mut c_void) -> *mut c_void {
    unmap(at);
    map(null_mut(), 0)
}

fn replaced(at: *mut c_void) -> *mut c_void {
    map(at, MAP_FIXED)
}

fn closed(at: *mut c_void) -> *mut c_void {
    // SAFETY: the mapping is ours.
    assert_eq!(unsafe { libc::mprotect(at, LENGTH, PROT_NONE) }, 0);
    unmap(at);
    map(null_mut(), 0)
}

fn moved(at: *mut c_void) -> *mut c_void {
    // SAFETY: the mapping is ours.
    let longer = unsafe { libc::mremap(at, LENGTH, LENGTH * 16, MREMAP_MAYMOVE) };
    assert_ne!(longer, MAP_FAILED);
    // SAFETY: the mapping is ours.
    assert_eq!(unsafe { libc::munmap(longer, LENGTH * 16) }, 0);
    map(null_mut(), 0)
}

fn main() {
    let file = File::options().read(true).open("/dev/data").expect("it is attached");
    let file = file.as_raw_fd();
    for take in [unmapped as Take, replaced, closed, moved] {
        for round in 0..ROUNDS {
            let (memory, before) = (map(null_mut(), 0) as usize, READING.load(SeqCst));
            // An odd offset prevents reads directly into the memory.
            let offset = round % 2;
            let reader = thread::spawn(move || {
                READING.fetch_add(1, SeqCst);
                // SAFETY: the memory may be unmapped during the call, but not while the kernel writes to it.
                unsafe { libc::pread(file, memory as *mut c_void, LENGTH, offset as i64) }
            });
            while READING.load(SeqCst) == before {
                thread::yield_now();
            }
            // Lets the reader run, in case it was stopped just before its call.
            thread::yield_now();
            let zeros = take(memory as *mut c_void);
            assert_eq!(reader.join().expect("it does not panic"), LENGTH as isize, "round {round}");
            // SAFETY: the region was mapped just now, with `LENGTH` bytes.
            let found = unsafe { std::slice::from_raw_parts(zeros.cast::<u8>(), LENGTH) };
            assert!(found.iter().all(|byte| *byte == 0), "round {round}: something was read into other memory");
            unmap(zeros);
        }
    }
    println!("nothing went astray");
}
