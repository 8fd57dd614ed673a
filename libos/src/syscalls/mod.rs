//! The system calls, by family. [`table`] lists them all.

pub mod console;
pub mod futex;
pub mod memory;
pub mod process;
pub mod signal;
pub mod system;
pub mod table;
pub mod thread;
pub mod time;

/// The six argument registers of a system call. A function takes those that it has by a pattern, in its signature.
#[derive(Clone, Copy, Debug)]
pub struct Arguments(pub [u64; 6]);
