//! Cost of a system call: patched into a jump, trapping through the stub, and Linux's own.
//!
//! One program runs in a guest and as a process, in turn; the medians of its own figures are printed.
//! `cargo bench -p husk-tests --bench calls [-- ROUNDS]`

use husk_tests::{figures, measure};

fn main() {
    figures::compare(figures::built("programs", "call_cost"), "ns a call", measure::rounds(15));
}
