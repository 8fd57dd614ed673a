//! `malloc` and its family for `std` images, instead of musl's.
//!
//! Small blocks come in size classes ([`class`]). Each thread caches free blocks of each class ([`cache`]) and exchanges them
//! in batches with a pool that all threads share ([`central`]), which cuts them from spans of pages ([`span`]). Medium blocks
//! are runs of pages. Spans and runs lie in regions of 1 MiB ([`region`]); the start of a block's region, a mask away, holds
//! the block's kind. Large blocks are mappings of their own ([`large`]).
//!
//! [`heap`] combines these over any source of pages; `family` has the functions of C, over the kernel's pages. A block passed
//! to a function here must come from this allocator; a detected violation ends the program.

#![cfg_attr(not(test), no_std)]

pub mod bits;
pub mod block;
mod bytes;
pub mod cache;
pub mod central;
pub mod class;
pub mod classes;
#[cfg(target_os = "none")]
pub mod family;
pub mod heap;
pub mod kernel;
pub mod large;
pub mod lock;
pub mod pages;
pub mod region;
pub mod regions;
pub mod span;
pub mod starter;
#[cfg(target_os = "none")]
mod thread;

#[cfg(test)]
mod tests;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    pages::Pages::fault(&kernel::Kernel, "malloc: internal error\n")
}
