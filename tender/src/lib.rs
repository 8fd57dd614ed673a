//! The tender: loads an image into a virtual machine and serves it.
//!
//! A start ([`run`]) takes these steps: [`image`] checks the file, [`memory`] plans the address space and maps it, [`hvt`] or
//! [`spt`] makes a processor, [`devices`] are connected, [`confine`] has the tender give up all that is not needed any more. Then
//! [`vm`] runs the guest and answers its calls, and [`report`] shows how it ended.
//!
//! | layer | folders |
//! |---|---|
//! | commands | [`run`], [`check`], [`inspect`], [`explain`], [`supervise`] |
//! | targets | [`hvt`], [`spt`] |
//! | guest | [`vm`], [`devices`], [`limits`], [`report`] |
//! | address space | [`memory`], [`image`] |
//! | host | [`host`], [`confine`], [`arch`] |

// `say!` writes lines, because it survives a standard error that is closed or full.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

pub mod arch;
pub mod check;
pub mod confine;
pub mod devices;
pub mod error;
pub mod explain;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod host;
pub mod host_files;
pub mod hvt;
pub mod image;
pub mod inspect;
pub mod limits;
pub mod memory;
pub mod report;
pub mod run;
mod size;
pub mod spt;
pub mod supervise;
pub mod vm;

pub use error::Error;
