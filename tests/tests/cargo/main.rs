//! `cargo husk` as a person uses it, on projects outside the repository: what it builds runs as it does natively.

mod allocators;
mod build;
mod files;
mod new;
mod run;
mod test;
