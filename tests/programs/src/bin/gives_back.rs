//! Uses memory and gives it up, in several ways; prints each step, and waits for a line of input after it.

use libc::{MADV_DONTNEED, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, c_void};
use std::hint::black_box;
use std::io::stdin;
use std::ptr::null_mut;

const SIZE: usize = 64 << 20;

fn pause(what: &str) {
    println!("{what}");
    stdin().read_line(&mut String::new()).expect("a line");
}

fn map() -> *mut c_void {
    // SAFETY: a new mapping changes nothing.
    let start = unsafe { libc::mmap(null_mut(), SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
    assert_ne!(start, MAP_FAILED);
    // SAFETY: the mapping is ours, and has `SIZE` bytes.
    unsafe { start.write_bytes(1, SIZE) };
    start
}

fn main() {
    pause("nothing yet");
    // Without `black_box`, the compiler leaves out unused memory.
    let whole = black_box(vec![1u8; SIZE]);
    pause("a vector");
    drop(whole);
    pause("no vector");
    let pieces: Vec<Box<[u64; 16]>> = (0..SIZE as u64 / 128).map(|number| Box::new([number; 16])).collect();
    let pieces = black_box(pieces);
    pause("boxes");
    drop(pieces);
    pause("no boxes");
    let start = map();
    pause("a mapping");
    // SAFETY: the mapping is ours.
    assert_eq!(unsafe { libc::madvise(start, SIZE, MADV_DONTNEED) }, 0);
    // SAFETY: the mapping is still there, and ours.
    assert_eq!(unsafe { start.cast::<u8>().add(SIZE / 2).read() }, 0);
    pause("unneeded");
    // SAFETY: the mapping is still there, and ours.
    unsafe { start.write_bytes(1, SIZE) };
    pause("needed");
    // SAFETY: the mapping is ours, and used no more.
    assert_eq!(unsafe { libc::munmap(start, SIZE) }, 0);
    pause("unmapped");
}
