//! Devices that the tender serves, whatever the target: the console by calls, all others over rings ([`husk_abi::ring`]).
//!
//! A device is *attached* by the user ([`attach`] matches the user's devices with those that the image wants), opened, given
//! its place in the guest's memory and in the [`table`] that the guest reads, and served by the [`device_loop`].

pub mod attach;
mod backoff;
pub mod block;
pub mod console;
mod copy;
mod device;
pub mod device_loop;
mod device_thread;
pub mod folder;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handoff;
pub mod limit;
pub mod mount;
pub mod mounts;
pub mod net;
pub mod notifier;
mod open;
pub mod pause;
mod place;
pub mod ring;
pub mod table;
mod wait_times;

/// Primitives from which [`handoff`] is built.
mod sync {
    pub use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
    pub use std::sync::{Mutex, MutexGuard};
}

pub use device::{Device, NotSaved, Progress, Served, State};
pub use open::{NotOpened, Open, Opened};
