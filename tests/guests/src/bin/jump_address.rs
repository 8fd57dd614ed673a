//! Jumps to the address in its argument.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::jump(guests::argument());
    guests::survived();
}
