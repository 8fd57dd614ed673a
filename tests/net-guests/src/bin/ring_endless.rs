//! Rings the doorbell again and again without a reason, and sends frames without ever reading their completions.

#![no_std]
#![no_main]

use husk::abi::device::TRANSMIT;
use husk::abi::ring::Descriptor;
use husk::{boot, clock, device};
use net_guests::Raw;

husk::entry!(main);

fn main() {
    let transmit = Raw::open(TRANSMIT);
    let address = boot::info().heap.start;
    (0..transmit.0.entries)
        .for_each(|position| transmit.describe(position, Descriptor { address, length: 60, ..Descriptor::default() }));
    transmit.submitted(transmit.0.entries);
    while transmit.completed() < transmit.0.entries {
        core::hint::spin_loop();
    }
    let until = clock::monotonic_ns() + 300_000_000;
    while clock::monotonic_ns() < until {
        device::ring_doorbell();
    }
    husk::println!("rang, {} frames sent", transmit.completed());
}
