//! Runs out of its stack.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::recurse(u64::MAX);
    guests::survived();
}
