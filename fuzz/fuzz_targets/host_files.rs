//! See `husk_tender::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| husk_tender::fuzz::host_files(bytes));
