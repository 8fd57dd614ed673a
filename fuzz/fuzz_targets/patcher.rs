//! See `linker/src/patch/fuzz`. The patcher is part of a tool, not of a library.

#![no_main]
#![allow(dead_code, reason = "only what is fuzzed of it is used")]

#[path = "../../linker/src/error.rs"]
mod error;
#[path = "../../linker/src/patch/mod.rs"]
mod patch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| patch::fuzz::patcher(bytes));
