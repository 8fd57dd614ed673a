//! Starts more flushes than the queue has room for, again and again, and rings the doorbell between them without a reason.

#![no_std]
#![no_main]

use husk::abi::call::News;
use husk::block::Disk;
use husk::{device, wait};

husk::entry!(main);

/// Flushes in all.
const FLUSHES: u64 = 20_000;

fn main() {
    let mut disk = Disk::open("data").expect("it is attached");
    let (mut started, mut ended, mut refused) = (0, 0, 0);
    while ended < FLUSHES {
        while started < FLUSHES && disk.start_flush(started) {
            started += 1;
        }
        refused += 1;
        device::ring_doorbell();
        while let Some(done) = disk.next() {
            assert_eq!(done.result, Ok(()));
            ended += 1;
        }
        if ended < started {
            wait::any(&mut [&mut disk], News::empty(), u64::MAX);
        }
    }
    assert!(refused > 0);
    husk::println!("{ended} flushes");
}
