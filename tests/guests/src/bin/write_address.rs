//! Writes to the address in its argument.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::poke(guests::argument());
    guests::survived();
}
