//! Rings the doorbell for ever, without a reason.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("ready");
    loop {
        husk::device::ring_doorbell();
    }
}
