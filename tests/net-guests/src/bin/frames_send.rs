//! Sends frames as fast as it can, as many and as long as its arguments say, and prints the time in nanoseconds.

#![no_std]
#![no_main]

use husk::abi::call::News;
use husk::net::Link;
use husk::{boot, clock, wait};

husk::entry!(main);

fn main() -> Result<(), husk::device::Error> {
    let number = |index| {
        let word = boot::arguments().nth(index).and_then(|bytes| core::str::from_utf8(bytes).ok());
        word.and_then(|word| word.parse::<usize>().ok()).expect("a number")
    };
    let (count, length) = (number(1), number(2));
    let mut link = Link::open("net")?;
    let started = clock::monotonic_ns();
    for _ in 0..count {
        let mut frame = loop {
            if link.sender.has_room() {
                break link.sender.frame().expect("there is room");
            }
            wait::any(&mut [&mut link], News::empty(), u64::MAX);
        };
        frame[..6].fill(0xff);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        frame.send(length);
    }
    link.sender.flush();
    while !link.sender.is_done() {
        wait::any(&mut [&mut link], News::empty(), clock::monotonic_ns() + 100_000);
    }
    husk::println!("{}", clock::monotonic_ns() - started);
    Ok(())
}
