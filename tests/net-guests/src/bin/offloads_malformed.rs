//! Sends nonsense, and has the device complete it in every way that an offload can ask for: checksums at any place, and
//! segmentation as TCP of what is no TCP.

#![no_std]
#![no_main]

use guests::Numbers;
use husk::abi::device::{FRAME_HEADER, GSO_FRAME_MAXIMUM, GSO_SIZE_MINIMUM, Offload, TRANSMIT, gso_type};
use husk::abi::ring::{Descriptor, status};
use husk::boot;
use net_guests::Raw;

husk::entry!(main);

const FRAMES: u32 = 3000;
/// EtherTypes, with the first bytes of what follows: IPv4 with TCP, IPv6 with TCP, neither.
const BEGINNINGS: [[u8; 4]; 3] = [[0x08, 0x00, 0x45, 0x00], [0x86, 0xdd, 0x60, 0x00], [0x88, 0xb5, 0x00, 0x00]];
/// Offset of the protocol's number in each, and the number of TCP.
const PROTOCOLS: [usize; 3] = [23, 20, 23];
const TCP: u8 = 6;

fn main() {
    let transmit = Raw::open(TRANSMIT);
    let start = boot::info().heap.start as *mut u8;
    let mut numbers = Numbers(815);
    for offset in (0..FRAME_HEADER + GSO_FRAME_MAXIMUM).step_by(8) {
        // SAFETY: the heap has room for the longest frame, and nothing else is in it.
        unsafe { start.add(offset).cast::<u64>().write_unaligned(numbers.draw()) };
    }
    let (mut sent, mut refused) = (0, 0);
    for number in 0..FRAMES {
        let kind = numbers.below(3) as usize;
        for (offset, byte) in BEGINNINGS[kind].into_iter().enumerate() {
            // SAFETY: the heap has room for the longest frame, and nothing else is in it.
            unsafe { start.add(12 + offset).write(byte) };
        }
        // SAFETY: the heap has room for the longest frame, and nothing else is in it.
        unsafe { start.add(PROTOCOLS[kind]).write(TCP) };
        let length = 60 + numbers.below((FRAME_HEADER + GSO_FRAME_MAXIMUM - 60) as u64) as usize;
        let offload = Offload {
            csum_start: FRAME_HEADER as u16 + numbers.below(60) as u16,
            csum_offset: numbers.below(40) as u16,
            gso_size: GSO_SIZE_MINIMUM + numbers.below(3000) as u16,
            gso_type: if kind == 1 { gso_type::TCPV6 } else { gso_type::TCPV4 },
        };
        let Some(offload) = Offload::check(offload.encode(), length) else {
            refused += 1;
            continue;
        };
        let address = start as u64;
        let part = Descriptor { address, length: length as u32, detail: offload.encode(), ..Descriptor::default() };
        transmit.describe(sent, part);
        sent += 1;
        transmit.submitted(sent);
        while transmit.completed() < sent {
            core::hint::spin_loop();
        }
        assert_eq!(transmit.completion(sent - 1).status, status::DONE, "frame {number}");
        transmit.consumed(sent);
    }
    assert!(sent > refused, "most of them can be asked for");
    husk::println!("done");
}
