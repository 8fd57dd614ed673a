//! The report on a stopped guest: what happened, where, and what the address is that it used.

pub mod exception;
pub mod place;
