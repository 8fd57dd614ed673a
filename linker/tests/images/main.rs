//! Builds small projects outside the repository with `cargo husk` and inspects their images.
//!
//! Nothing runs here but cargo; tests of guests in virtual machines are in `tests/`.

mod c;
mod commands;
mod configuration;
mod elf;
mod install;
mod kinds;
mod profiles;
mod project;
