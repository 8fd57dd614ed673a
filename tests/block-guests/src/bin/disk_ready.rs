//! Has a disk, and does not use it.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("ready");
    loop {
        core::hint::spin_loop();
    }
}
