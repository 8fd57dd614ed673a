//! Breaks the contract of a ring in the way that its argument names.

#![no_std]
#![no_main]

use guests::word;
use husk::abi::call::Number;
use husk::abi::device::{GUEST_OFFLOADS, Offload, RECEIVE, TRANSMIT};
use husk::abi::memory::PAGE;
use husk::abi::ring::{Descriptor, PARTS_MAXIMUM};
use husk::{boot, gate};
use net_guests::{Raw, wait_to_be_stopped};

husk::entry!(main);

const MORE: u16 = 1;

fn main() {
    let transmit = Raw::open(TRANSMIT);
    let heap = boot::info().heap;
    let frame = Descriptor { address: heap.start, length: 60, ..Descriptor::default() };
    let send = |descriptor| {
        transmit.describe(0, descriptor);
        transmit.submitted(1);
    };
    let entries = transmit.0.entries;
    match word(1) {
        "ahead" => transmit.submitted(entries + 1),
        "read-ahead" | "under-way" => {
            (0..=entries).for_each(|position| transmit.describe(position, frame));
            transmit.submitted(entries);
            while transmit.completed() < entries {}
            transmit.consumed(if word(1) == "read-ahead" { entries + 44 } else { 0 });
            transmit.submitted(entries + 1);
        }
        "cut" => send(Descriptor { flags: MORE, ..frame }),
        "parts" => {
            let count = PARTS_MAXIMUM as u32 + 1;
            (0..count).for_each(|position| transmit.describe(position, Descriptor { flags: MORE, ..frame }));
            transmit.submitted(count);
        }
        "flags" => send(Descriptor { flags: 0x8000, ..frame }),
        "empty" => send(Descriptor { length: 0, ..frame }),
        "long" => send(Descriptor { length: u32::MAX, ..frame }),
        "operation" => send(Descriptor { operation: 7, ..frame }),
        "detail" => send(Descriptor { detail: 9, ..frame }),
        "offload" => send(Descriptor { detail: Offload { gso_type: 5, ..Offload::default() }.encode(), ..frame }),
        "guest-offloads" => {
            let receive = Raw::open(RECEIVE);
            receive.describe(0, Descriptor { detail: GUEST_OFFLOADS + 1, ..frame });
            receive.submitted(1);
        }
        "outside" => send(Descriptor { address: 0xdead_0000_0000, ..frame }),
        "wrapping" => send(Descriptor { address: u64::MAX - 10, ..frame }),
        "rings" => send(Descriptor { address: transmit.0.submission, ..frame }),
        "protected" => {
            let page = (heap.start + (1 << 20)) & !(PAGE - 1);
            let _ = gate::call(Number::Protect, page, PAGE, 0, 0);
            send(Descriptor { address: page, ..frame });
        }
        "constant" => {
            let receive = Raw::open(RECEIVE);
            receive.describe(0, Descriptor { address: boot::info().image.start, ..frame });
            receive.submitted(1);
        }
        other => panic!("'{other}' is no way to break a ring"),
    }
    wait_to_be_stopped();
}
