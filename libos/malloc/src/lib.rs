//! `malloc` and its family for `std` images, instead of musl's.
//!
//! Small blocks come in size classes ([`class`]). Each thread keeps free blocks of each class to itself ([`cache`]) and
//! trades them in batches with all others ([`central`]), which cuts them from spans of pages ([`span`]). Middling ones
//! are runs of pages. Spans and runs lie in regions of 1 MiB ([`region`]); the start of a block's region, a mask away,
//! tells what the block is. Large blocks are mappings of their own ([`large`]).
//!
//! [`heap`] has it all together over any source of pages; `family` are the functions of C, over that of the kernel.
//! No function here may be given a block that it did not hand out: what it notices of that ends the program.

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
