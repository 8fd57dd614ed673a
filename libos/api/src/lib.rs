//! The native API of a guest program: entry point, console, clock, heap, network, disks, exit.
//!
//! A native program is `no_std`, depends on this crate, and names its main function:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! husk::entry!(main);
//!
//! fn main() {
//!     husk::println!("Hello from a Husk guest");
//! }
//! ```
//!
//! The feature `runtime` (on by default) adds the entry point, the panic handler and a global allocator over the guest's heap,
//! so that `extern crate alloc` works. The libos uses the crate without it.
//!
//! The feature `internet` adds TCP and UDP.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod arch;
pub mod block;
pub mod boot;
pub mod clock;
pub mod console;
pub mod device;
pub mod folder;
pub mod gate;
#[cfg(feature = "internet")]
pub mod internet;
pub mod net;
pub mod process;
pub mod ring;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod wait;

pub use husk_abi as abi;
