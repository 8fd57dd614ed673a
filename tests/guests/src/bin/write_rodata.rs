//! Writes to its constants.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    static CONSTANT: [u64; 4] = [1, 2, 3, 4];
    guests::poke(core::hint::black_box(&CONSTANT).as_ptr() as u64);
    guests::survived();
}
