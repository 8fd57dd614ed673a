//! Reads memory that it may attach and has not.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let info = husk::boot::info();
    guests::peek(info.heap.start + info.heap_attached);
    guests::survived();
}
