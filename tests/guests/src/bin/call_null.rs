//! Makes a call with memory at address 0.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::gate::raw(1, 1, 0, 16, 0);
    guests::survived();
}
