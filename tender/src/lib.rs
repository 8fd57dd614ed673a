//! The tender: loads an image into a virtual machine and serves it.
//!
//! A start runs in this order: [`image`] checks the file, [`layout`] plans the address space, [`memory`] maps it, [`boot`] and
//! [`clock`] fill in the boot information and the clock page, [`hvt`] or [`spt`] makes a processor, [`machine`] runs the guest
//! on it, [`guest`] answers its calls, [`devices`] serve its rings. Before the guest runs, [`confine`] has the tender give up
//! all that is not needed for that.

// `say!` writes lines, because it survives a standard error that is closed or full.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

pub mod boot;
pub mod check;
pub mod clock;
pub mod confine;
pub mod devices;
mod entropy;
pub mod error;
pub mod explain;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gate;
pub mod grant;
pub mod guest;
pub mod guest_signals;
pub mod heap;
pub mod hvt;
pub mod image;
pub mod inspect;
pub mod layout;
pub mod machine;
pub mod memory;
pub mod operands;
mod processors;
pub mod registers;
pub mod report;
mod resident;
mod rlimit;
pub mod run;
#[cfg(any(test, fuzzing))]
mod sample;
pub mod share;
pub mod signals;
mod size;
pub mod sparse;
pub mod spt;
pub mod statistics;
pub mod streams;
pub mod supervise;
pub mod target;
pub mod threads;
mod time;
pub mod timeout;
pub mod turns;

pub use error::Error;
