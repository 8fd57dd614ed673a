//! The contract between an image and its tender: every fact that both sides must agree on, each in one place.
//!
//! A tender loads an *image* ([`note`]), lays out its memory ([`memory`]), fills in a boot information block ([`boot`]) and a
//! clock page ([`clock`]), and jumps to the image's entry point at CPL 3. From then on the guest reaches the tender by *calls*
//! through the gate ([`call`]) and its devices ([`device`]) by *rings* ([`ring`]), until the guest exits or breaks the contract
//! ([`fault`]).
//!
//! **Versions.** [`VERSION`] is one number for the whole contract. It changes whenever a guest built before the
//! change could misread, or be misread by, a tender built after it: a field moved, a call's meaning changed. A tender
//! runs images of its own version and refuses others by number. Added call numbers, fields appended to
//! [`boot::Info`] (guarded by its `size`), and notes that either side can do without do not change it.

#![no_std]

pub mod block;
pub mod boot;
pub mod call;
pub mod clock;
pub mod device;
pub mod fault;
pub mod files;
pub mod folder;
pub mod host_file;
pub mod memory;
pub mod note;
pub mod notes;
pub mod poll;
pub mod processor;
pub mod registers;
pub mod ring;
pub mod signals;
pub mod size;
pub mod stream;
pub mod stub;
pub mod threads;

/// Version of the contract that this crate describes.
pub const VERSION: u32 = 3;
