//! Makes a call with memory that wraps around the end of the address space.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let heap = guests::heap();
    husk::gate::raw(1, 1, heap.end() - 8, u64::MAX - 4, 0);
    guests::survived();
}
