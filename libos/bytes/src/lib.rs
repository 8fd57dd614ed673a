//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp`: for the programs of `std` images, instead of musl's, and for code without
//! vector registers, the libos among it, instead of the compiler's.
//!
//! Both copy by a string instruction whatever the length, which takes 12 to 30 ns to start, and musl compares byte by byte. Most
//! copies of a Rust program are some tens of bytes: a `format!` makes half a dozen. Therefore short copies here use two or more
//! overlapping loads and stores, all loads first; medium ones a loop of 64 bytes in SSE2 registers, which every x86-64 has, or
//! of 32 in general ones; and only long ones a string instruction.
//!
//! A program gets an object of its own, compiled for its target. The libos must preserve vector registers: for its target, which
//! has none, this is a library ([`general`]).
//! `no_builtins` keeps the compiler from turning the loop of `memcpy` into a call of `memcpy`.

#![cfg_attr(not(test), no_std)]
#![no_builtins]

pub mod compare;
pub mod copy;
pub mod fill;
pub mod general;
#[cfg(target_feature = "sse2")]
pub mod sse2;
pub mod word;

#[cfg(any(target_env = "musl", target_os = "none"))]
mod family;
