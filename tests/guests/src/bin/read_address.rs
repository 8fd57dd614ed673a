//! Reads the address in its argument.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::peek(guests::argument());
    guests::survived();
}
