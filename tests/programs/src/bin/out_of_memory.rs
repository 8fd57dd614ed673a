//! Asks for more memory than there is: first by `try_reserve_exact`, then, with an argument, by a call that cannot fail.

use std::hint::black_box;

fn main() {
    let mut some: Vec<u8> = Vec::new();
    // Without `black_box`, the compiler leaves out unused memory.
    assert!(black_box(&mut some).try_reserve_exact(black_box(3 << 30)).is_err());
    println!("did without");
    if std::env::args().count() > 1 {
        black_box(&mut some).reserve_exact(black_box(5_000_000_000));
    }
}
