//! Frees a block twice.

use std::hint::black_box;

fn main() {
    // SAFETY: a size is no danger.
    let block = black_box(unsafe { libc::malloc(100_000) });
    println!("about to free twice");
    // SAFETY: the block is ours.
    unsafe { libc::free(block) };
    // SAFETY: none; that is what the test is about.
    unsafe { libc::free(black_box(block)) };
}
