//! Has a disk, and uses its standard streams: reads one, prints to the others, and panics.

#![no_std]
#![no_main]

use husk::console;

husk::entry!(main);

fn main() {
    let mut bytes = [0; 64];
    let read = console::read(&mut bytes);
    husk::println!("printed");
    console::print(console::ERROR, format_args!("said\n"));
    assert!(read.is_err(), "read {read:?}");
}
