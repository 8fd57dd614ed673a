//! Prints the costs of this host's most frequent operations, in nanoseconds: an exit from the guest with its return, and the
//! first touch of a page of memory. Medians of many.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use husk::abi::call::Number;
use husk::{clock, gate};

husk::entry!(main);

/// Number of measurements of each operation.
const TIMES: usize = 500;
/// Bytes of a page.
const PAGE: usize = 4096;

/// Returns the median duration of `what`, in nanoseconds.
fn median(mut what: impl FnMut(usize)) -> u64 {
    let mut took: Vec<u64> = (0..TIMES)
        .map(|time| {
            let begun_ns = clock::monotonic_ns();
            what(time);
            clock::monotonic_ns().saturating_sub(begun_ns)
        })
        .collect();
    took.sort_unstable();
    took[TIMES / 2]
}

fn main() {
    let exit_ns = median(|_| _ = gate::call(Number::Tick, 0, 0, 0, 0));
    let mut memory: Vec<u8> = Vec::with_capacity(TIMES * PAGE);
    let room = memory.spare_capacity_mut();
    let page_ns = median(|time| {
        core::hint::black_box(room[time * PAGE].write(1));
    });
    husk::println!("{exit_ns} {page_ns}");
}
