//! Asks for more memory than there is: first as a program that can do without, then, with an argument, as one that cannot.

use std::hint::black_box;

fn main() {
    let mut some: Vec<u8> = Vec::new();
    // The compiler leaves out what nobody uses.
    assert!(black_box(&mut some).try_reserve_exact(black_box(3 << 30)).is_err());
    println!("did without");
    if std::env::args().count() > 1 {
        black_box(&mut some).reserve_exact(black_box(5_000_000_000));
    }
}
