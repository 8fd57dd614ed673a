//! Sends frames of nonsense, of every valid length and of some invalid ones, in one part and in several.

#![no_std]
#![no_main]

use guests::Numbers;
use husk::abi::device::TRANSMIT;
use husk::abi::ring::{Descriptor, status};
use husk::{boot, device};
use net_guests::Raw;

husk::entry!(main);

const MORE: u16 = 1;
/// Longest frame that is tried, in bytes: longer than the device accepts.
const LONGEST: u32 = 2000;

fn main() {
    let transmit = Raw::open(TRANSMIT);
    let mtu = device::all().next().and_then(device::network).expect("a network").mtu;
    let start = boot::info().heap.start;
    let mut numbers = Numbers(4711);
    for offset in (0..u64::from(LONGEST)).step_by(8) {
        // SAFETY: the heap has room for the longest frame, and nothing else is in it.
        unsafe { ((start + offset) as *mut u64).write(numbers.draw()) };
    }
    let (mut next, mut refused) = (0, 0);
    for length in 1..=LONGEST {
        let first = numbers.below(length.into()) as u32;
        let part = |address, length, flags| Descriptor { address, length, flags, ..Descriptor::default() };
        let parts = [part(start, first, MORE), part(start + u64::from(first), length - first, 0)];
        for part in parts.into_iter().filter(|part| part.length > 0) {
            transmit.describe(next, part);
            next += 1;
        }
        transmit.submitted(next);
        while transmit.completed() < length {
            core::hint::spin_loop();
        }
        let completion = transmit.completion(length - 1);
        let fits = (14..=14 + u32::from(mtu)).contains(&length);
        assert_eq!(completion.status, if fits { status::DONE } else { status::REFUSED }, "{length} bytes");
        refused += u32::from(!fits);
        transmit.consumed(length);
    }
    husk::println!("{refused} refused");
}
