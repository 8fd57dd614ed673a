//! The system calls, by family. [`table`] lists them all.

pub mod address;
mod ancillary;
pub mod arguments;
pub mod descriptors;
pub mod epoll;
pub mod events;
pub mod facts;
pub mod files;
mod folder;
pub mod futex;
pub mod identity;
pub mod inotify;
pub mod mapped;
pub mod mapping;
pub mod memory;
pub mod message;
pub mod messages;
pub mod metadata;
pub mod names;
mod priority;
pub mod process;
pub mod queues;
pub mod robust;
pub mod scheduling;
pub mod segments;
pub mod semaphores;
pub mod signal;
pub mod socket;
pub mod sockopt;
pub mod system;
pub mod table;
pub mod thread;
pub mod time;
pub mod timer;
pub mod transfer;
pub mod wait;

/// Argument registers of a system call. A function takes those that it needs by a pattern in its signature.
#[derive(Clone, Copy, Debug)]
pub struct Arguments(pub [u64; 6]);
