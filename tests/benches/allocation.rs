//! Cost of an allocation with its release: in an image, with the allocator that images are linked with, and in a
//! process, with glibc's.
//!
//! One program runs in a guest and as a process, in turn; the medians of its own figures are printed.
//! `cargo bench -p husk-tests --bench allocation [-- ROUNDS]`

use husk_tests::{figures, measure};

fn main() {
    figures::compare(figures::built("programs", "allocation"), "ns an allocation", measure::rounds(9));
}
