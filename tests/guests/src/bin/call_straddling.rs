//! Makes a call with memory that straddles the end of the heap.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let heap = guests::heap();
    husk::gate::raw(1, 1, heap.end() - 8, 16, 0);
    guests::survived();
}
