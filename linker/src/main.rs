//! cargo-husk
fn main() {}
