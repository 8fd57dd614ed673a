//! The tender: loads an image into a virtual machine and serves it.
//!
//! A start goes: [`image`] checks the file, [`layout`] plans the address space, [`memory`] maps it, [`boot`] and
//! [`clock`] fill in what the guest is told, [`hvt`] makes the machine and runs it, [`guest`] answers its calls,
//! [`devices`] serve its rings.

pub mod boot;
pub mod clock;
pub mod devices;
pub mod error;
pub mod fault;
pub mod guest;
pub mod hvt;
pub mod image;
pub mod inspect;
pub mod layout;
pub mod memory;
pub mod operands;
pub mod registers;
pub mod report;
pub mod run;
pub mod signals;
pub mod statistics;
pub mod threads;

pub use error::Error;
