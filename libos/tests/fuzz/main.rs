//! What fuzzers (`fuzz/`) try with bytes that they evolve, with random ones and with the corpus.

mod guest;
#[path = "../../../fuzz/holds.rs"]
mod holds;

use guest::system_calls;
use holds::{changed, holds};
use proptest::collection::vec;
use proptest::prelude::{any, prop_oneof};

#[test]
fn any_calls_are_answered_or_end_the_program() {
    // Kinds of arguments that mean something are drawn more often than others.
    let byte = prop_oneof![2 => any::<u8>(), 1 => 0..16_u8, 1 => 0x20..0x40_u8, 1 => 0x60..0x68_u8];
    holds("system_calls", 800, system_calls, vec(byte, 0..600));
}

#[test]
fn calls_that_are_a_little_other_are_answered_or_end_the_program() {
    holds("system_calls", 300, system_calls, changed("system_calls"));
}
