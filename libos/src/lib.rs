//! The library OS: answers, inside the guest, the Linux system calls that musl and std make.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod answer;
pub mod errno;
pub mod fs;
pub mod user;
