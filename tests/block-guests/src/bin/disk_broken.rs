//! Breaks the contract of a disk's queue in the way that its argument names.

#![no_std]
#![no_main]

use guests::word;
use husk::abi::block::{DISCARD, FLUSH, READ, WRITE};
use husk::abi::call::Number;
use husk::abi::memory::PAGE;
use husk::abi::ring::{Descriptor, Flags};
use husk::{boot, clock, device, gate, ring};

husk::entry!(main);

/// Memory that is read-only.
static CONSTANT: [u8; 512] = [1; 512];

fn main() {
    let device = device::all().next().expect("a disk");
    // SAFETY: the tender describes this queue, and nothing else uses it.
    let mut queue = unsafe { ring::Queue::new(&device.queues[0]) };
    let page = (boot::info().heap.start + (1 << 20)) & !(PAGE - 1);
    let read = Descriptor { address: page, length: 512, operation: READ, ..Descriptor::default() };
    let bare = Descriptor { operation: DISCARD, address: 512, ..Descriptor::default() };
    let request = match word(1) {
        "empty" => Descriptor { operation: 0, ..read },
        "operation" => Descriptor { operation: 6, ..read },
        "nothing" => Descriptor { length: 0, ..read },
        "constant" => Descriptor { address: CONSTANT.as_ptr() as u64, ..read },
        "outside" => Descriptor { address: 0xdead_0000_0000, operation: WRITE, ..read },
        "rings" => Descriptor { address: device.queues[0].submission, ..read },
        "protected" => {
            // Data that was read a moment ago is copied from a mapping of the page cache.
            // SAFETY: nothing else uses that memory.
            unsafe { queue.submit(&[read]) };
            queue.publish();
            while queue.complete().is_none() {}
            gate::call(Number::Protect, page, PAGE, 0, 0).expect("a page of our own");
            read
        }
        "memory" => Descriptor { length: 512, ..bare },
        "more" => Descriptor { flags: Flags::MORE.bits(), ..bare },
        "flush" => Descriptor { operation: FLUSH, ..bare },
        other => panic!("'{other}' is no way to break a queue"),
    };
    // `submit` sets the flag MORE itself where more parts follow, so this request is written as the last of two.
    let parts = if word(1) == "more" { &[request, request][..] } else { &[request][..] };
    // SAFETY: nothing else uses that memory.
    unsafe { queue.submit(parts) };
    queue.publish();
    clock::sleep_until(clock::monotonic_ns() + 20_000_000_000);
    husk::println!("survived");
}
