//! Writes nonsense to the rings, other nonsense for each seed, and rings between: some of it is harmless, the rest
//! ends the guest.

#![no_std]
#![no_main]

use guests::{Numbers, word};
use husk::abi::device::{RECEIVE, TRANSMIT};
use husk::abi::ring::Descriptor;
use husk::boot;
use net_guests::{Raw, poke};

husk::entry!(main);

/// Number of writes.
const STEPS: u32 = 2000;

fn main() {
    let seed: u64 = word(1).parse().expect("a seed");
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let queues = [TRANSMIT, RECEIVE].map(Raw::open);
    let heap = boot::info().heap;
    for step in 0..STEPS {
        let queue = queues[numbers.below(2) as usize];
        match numbers.below(16) {
            // Rarely, because hardly any guest survives it.
            0 if step > STEPS / 2 => poke(queue.words()[numbers.below(6) as usize], numbers.draw() as u32),
            1 => poke(queue.words()[2 + 3 * numbers.below(2) as usize], numbers.draw() as u32),
            2 if step > STEPS / 2 => queue.describe(numbers.draw() as u32, corrupt(&mut numbers)),
            3 => queue.consumed(queue.completed()),
            _ => {
                let address = heap.start + numbers.below(60_000);
                let length = numbers.below(3000) as u32 + 1;
                let next = net_guests::peek(queue.words()[0]);
                queue.describe(next, Descriptor { address, length, token: numbers.draw(), ..Descriptor::default() });
                queue.consumed(queue.completed());
                queue.submitted(next.wrapping_add(1));
            }
        }
    }
    husk::println!("done");
}

fn corrupt(numbers: &mut Numbers) -> Descriptor {
    Descriptor {
        address: numbers.draw(),
        length: numbers.draw() as u32,
        flags: numbers.below(3) as u16,
        operation: numbers.below(2) as u16,
        token: numbers.draw(),
        detail: numbers.below(2),
    }
}
