//! Makes a call that does not exist.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let heap = guests::heap();
    husk::gate::raw(0x7777, heap.start, 0, 0, 0);
    guests::survived();
}
