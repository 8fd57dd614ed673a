//! Writes to its own code.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::poke(main as *const () as u64);
    guests::survived();
}
