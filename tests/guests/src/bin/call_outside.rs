//! Makes a call with memory behind the end of the heap.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let heap = guests::heap();
    husk::gate::raw(1, 1, heap.end() + 0x10_0000, 16, 0);
    guests::survived();
}
