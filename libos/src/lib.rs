//! Library OS: handles, inside the guest, the Linux system calls of musl and std.
//!
//! The libos is linked into the image beside an ordinary program. The tender enters it first ([`start`]); it prepares memory, a
//! stack and an auxiliary vector as Linux would, and jumps to the program's own start code. From then on it runs only when the
//! program makes a system call ([`libos`]) or its slice ends: a call finds its function in [`syscalls::table`], and the libos's
//! own calls to the tender go through the gate of the crate `husk`.
//!
//! The state of the libos belongs to one [`state::Libos`] behind one lock, except [`memory`], with a lock that comes after it.

#![cfg_attr(not(test), no_std)]

extern crate alloc;
// What the compiler calls to copy, fill and compare.
#[cfg(target_os = "none")]
use husk_bytes as _;

pub mod arch;
pub mod attach;
pub mod clock;
pub mod console;
pub mod disk;
pub mod errno;
pub mod folders;
pub mod fs;
pub mod host_files;
pub mod identity;
pub mod idle;
pub mod image;
pub mod ipc;
pub mod libos;
pub mod memory;
pub mod net;
pub mod notices;
pub mod outside;
#[cfg(target_os = "none")]
mod panic;
pub mod process;
pub mod processor_time;
pub mod random;
pub mod services;
pub mod signals;
pub mod stack;
pub mod start;
pub mod state;
pub mod syscall_result;
pub mod syscalls;
pub mod terminal;
pub mod threads;
pub mod user;
pub mod vdso;
pub mod volume;
