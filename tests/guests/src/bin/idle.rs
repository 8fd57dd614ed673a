//! Prints a line and sleeps, so that its memory can be inspected.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("resting");
    husk::clock::sleep(core::time::Duration::from_secs(60));
}
