//! Names memory that is the tender's.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::gate::raw(1, 1, husk::abi::memory::RING0, 16, 0);
    guests::survived();
}
