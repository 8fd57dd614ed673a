//! The library OS: answers, inside the guest, the Linux system calls that musl and std make.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod answer;
pub mod clock;
pub mod errno;
pub mod memory;
pub mod random;
pub mod user;
