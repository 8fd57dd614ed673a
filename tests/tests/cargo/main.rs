//! `cargo husk` from the command line, on projects outside the repository: the images run as the programs do natively.

mod allocators;
mod build;
mod files;
mod new;
mod run;
mod test;
