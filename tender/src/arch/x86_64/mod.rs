//! x86-64.

pub mod effective_address;
pub mod registers;
