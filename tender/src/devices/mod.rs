//! What the tender serves, whatever the target.

pub mod console;
