//! Costs of a program that talks to itself over 127.0.0.1, in a guest and as a process.
//!
//! `cargo bench -p husk-tests --bench loopback [-- ROUNDS]`

use husk_tests::{figures, measure};

fn main() {
    figures::compare(figures::built("programs", "loopback_speed"), "ns over 127.0.0.1", measure::rounds(9));
}
