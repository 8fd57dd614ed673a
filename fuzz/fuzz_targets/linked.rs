//! See `linker/patcher/src/fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| husk_patcher::fuzz::linked(bytes));
