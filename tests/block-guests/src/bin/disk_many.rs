//! Keeps many requests in flight, of several lengths and all kinds, each on a part of the disk that is its own,
//! and checks every byte that it reads.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use guests::Numbers;
use husk::abi::call::News;
use husk::block::{Buffer, Disk};
use husk::wait;

husk::entry!(main);

/// Parts of the disk, each of which has one request in flight.
const PARTS: u64 = 64;
/// Bytes of a part.
const LENGTH: usize = 64 << 10;
/// Requests in all.
const REQUESTS: usize = 4000;

/// Contents of a part: the seed of its bytes, or 0 for zeros.
type Seed = u64;

fn fill(buffer: &mut [u8], seed: Seed) {
    let mut numbers = Numbers(seed);
    for word in buffer.chunks_exact_mut(8) {
        word.copy_from_slice(&if seed == 0 { 0 } else { numbers.draw() }.to_le_bytes());
    }
}

fn main() {
    let mut disk = Disk::open("data").expect("it is attached");
    let mut numbers = Numbers(88172645463325252);
    let mut holds: [Seed; PARTS as usize] = [0; PARTS as usize];
    let (mut started, mut ended, mut checked) = (0, 0, 0);
    for part in 0..PARTS {
        start(&mut disk, part, &mut holds, &mut numbers);
        started += 1;
    }
    let mut expected = vec![0; LENGTH];
    while ended < started {
        let Some(done) = disk.next() else {
            wait::any(&mut [&mut disk], News::empty(), u64::MAX);
            continue;
        };
        ended += 1;
        let (part, reads) = (done.token >> 1, done.token & 1 != 0);
        assert_eq!(done.result, Ok(()), "request for part {part}");
        if let Some(buffer) = done.buffer.filter(|_| reads) {
            fill(&mut expected[..buffer.len()], holds[part as usize]);
            assert!(expected[..buffer.len()] == buffer[..], "part {part} has other bytes");
            checked += 1;
        }
        if started < REQUESTS {
            start(&mut disk, part, &mut holds, &mut numbers);
            started += 1;
        }
    }
    assert!(checked > REQUESTS / 4);
    husk::println!("{ended} requests");
}

fn start(disk: &mut Disk, part: u64, holds: &mut [Seed], numbers: &mut Numbers) {
    let sector = disk.sector() as usize;
    let (offset, length) = (part * LENGTH as u64, sector << numbers.below(4));
    let token = part << 1;
    let went = match numbers.below(8) {
        0 => disk.start_flush(token),
        1 => {
            holds[part as usize] = 0;
            disk.start_discard(offset, LENGTH as u64, token)
        }
        2 => {
            holds[part as usize] = 0;
            disk.start_zeroes(offset, LENGTH as u64, token)
        }
        3 | 4 => {
            let seed = numbers.draw() | 1;
            holds[part as usize] = seed;
            let mut buffer = Buffer::new(LENGTH);
            fill(&mut buffer, seed);
            disk.write(offset, buffer, token).is_ok()
        }
        _ => disk.read(offset, Buffer::new(length), token | 1).is_ok(),
    };
    assert!(went, "there is room");
}
