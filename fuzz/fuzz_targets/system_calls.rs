//! See `libos/tests/fuzz`.

#![no_main]

#[path = "../../libos/tests/fuzz/guest.rs"]
mod guest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| guest::system_calls(bytes));
