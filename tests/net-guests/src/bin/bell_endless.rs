//! Rings the doorbell for ever, for nothing.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("ready");
    loop {
        husk::device::ring_doorbell();
    }
}
