//! Makes a call with memory of the tender (ring 0).

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::gate::raw(1, 1, husk::abi::memory::RING0, 16, 0);
    guests::survived();
}
