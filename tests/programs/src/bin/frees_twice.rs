//! Frees a block twice.

use std::hint::black_box;

fn main() {
    // SAFETY: malloc(3) accepts any size.
    let block = black_box(unsafe { libc::malloc(100_000) });
    println!("about to free twice");
    // SAFETY: the block comes from malloc(3), and is not freed yet.
    unsafe { libc::free(block) };
    // SAFETY: none: the double free is what is tested.
    unsafe { libc::free(black_box(block)) };
}
