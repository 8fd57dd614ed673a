//! Waits for two requests, and polls for others from then on: they are served while the guest runs.

#![no_std]
#![no_main]

use husk::block::{Buffer, Disk};
use husk::clock;

husk::entry!(main);

/// Duration of each computation, in nanoseconds: long enough that the tender does not expect a wait.
const MOMENT_NS: u64 = 30_000_000;
/// Longest wait for a request, in nanoseconds.
const PATIENCE_NS: u64 = 20_000_000_000;

fn compute() {
    let end_ns = clock::monotonic_ns() + MOMENT_NS;
    while clock::monotonic_ns() < end_ns {}
}

fn main() {
    let mut disk = Disk::open("data").expect("it is attached");
    let mut sector = [0; 512];
    compute();
    for _ in 0..2 {
        disk.read_at(0, &mut sector).expect("it can be read");
    }
    for round in 0..5 {
        compute();
        let end_ns = clock::monotonic_ns() + PATIENCE_NS;
        disk.read(512, Buffer::new(512), round).expect("there is room");
        disk.publish();
        let done = loop {
            match disk.next() {
                Some(done) => break done,
                None => assert!(clock::monotonic_ns() < end_ns, "request {round} is not served"),
            }
        };
        assert_eq!((done.token, done.result), (round, Ok(())));
    }
    husk::println!("polled");
}
