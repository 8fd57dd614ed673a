//! Prints a line and rests, so that its memory can be looked at.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("resting");
    husk::clock::sleep(core::time::Duration::from_secs(60));
}
