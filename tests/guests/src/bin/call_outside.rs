//! Names memory that it was not given.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let heap = guests::heap();
    husk::gate::raw(1, 1, heap.end() + 0x10_0000, 16, 0);
    guests::survived();
}
