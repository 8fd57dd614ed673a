//! Keeps a disk busy for a moment: arguments are `read` or `write`, `sequential` or `random`, bytes of a request, requests in
//! flight, and milliseconds. Prints the number of finished requests, and nanoseconds.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use guests::{Numbers, word};
use husk::abi::call::News;
use husk::block::{Buffer, Disk};
use husk::{clock, wait};

husk::entry!(main);

fn main() {
    let mut disk = Disk::open("data").expect("it is attached");
    let (writes, random) = (word(1) == "write", word(2) == "random");
    let [size, depth, duration_ms] = [3, 4, 5].map(|index| word(index).parse::<u64>().expect("a number"));
    let places = disk.size() / size;
    let (mut numbers, mut next) = (Numbers(88172645463325252), 0);
    let mut offset = || {
        next = if random { numbers.below(places) } else { (next + 1) % places };
        next * size
    };
    let mut buffers: Vec<Buffer> = (0..depth).map(|_| Buffer::new(size as usize)).collect();
    buffers.iter_mut().for_each(|buffer| buffer.fill(1));
    let mut begin = |disk: &mut Disk, buffer: Buffer| {
        let begun = match writes {
            true => disk.write(offset(), buffer, 0),
            false => disk.read(offset(), buffer, 0),
        };
        begun.expect("there is room");
    };
    let start_ns = clock::monotonic_ns();
    let end_ns = start_ns + duration_ms * 1_000_000;
    buffers.into_iter().for_each(|buffer| begin(&mut disk, buffer));
    let (mut done, mut under_way, mut over) = (0u64, depth, false);
    while under_way > 0 {
        let Some(ended) = disk.next() else {
            over = clock::monotonic_ns() >= end_ns;
            wait::any(&mut [&mut disk], News::empty(), u64::MAX);
            continue;
        };
        ended.result.expect("the disk is in order");
        done += 1;
        match ended.buffer {
            Some(buffer) if !over && (depth > 1 || clock::monotonic_ns() < end_ns) => begin(&mut disk, buffer),
            _ => under_way -= 1,
        }
    }
    husk::println!("{done} {}", clock::monotonic_ns() - start_ns);
}
