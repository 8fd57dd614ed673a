//! Builds small projects outside the repository with `cargo husk` and looks at the images they become.
//!
//! Nothing runs here but cargo; a guest in a virtual machine is the business of `tests/`.

mod commands;
mod elf;
mod kinds;
mod profiles;
mod project;
