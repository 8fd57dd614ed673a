//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp` for `std` images, instead of musl's.
//!
//! musl copies by a string instruction whatever the length, which takes 12 to 20 ns to start, and compares byte by byte. Most
//! copies of a Rust program are some tens of bytes: a `format!` makes half a dozen. Therefore short copies here use two or more
//! overlapping loads and stores, all loads first; medium ones a loop of 64 bytes in SSE2 registers, which every x86-64 has; and
//! only long ones a string instruction.
//!
//! Unlike the libos, which must preserve vector registers, this crate is part of the program and compiled for its target.
//! `no_builtins` keeps the compiler from turning the loop of `memcpy` into a call of `memcpy`.

#![cfg_attr(not(test), no_std)]
#![no_builtins]

pub mod compare;
pub mod copy;
pub mod fill;
pub mod word;

#[cfg(target_env = "musl")]
mod family;
