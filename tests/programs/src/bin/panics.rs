//! Unwinds: catches one panic, with destructors run, and ends by another.

use std::panic::catch_unwind;

struct Noisy(&'static str);

impl Drop for Noisy {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

fn fail(with: &'static str) {
    let _noisy = Noisy(with);
    panic!("failed with {with}");
}

fn main() {
    let caught = catch_unwind(|| fail("one"));
    println!("caught: {}", caught.is_err());
    fail("two");
}
