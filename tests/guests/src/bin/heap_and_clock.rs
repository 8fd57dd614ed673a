//! Allocates, sleeps, and exits with the status in its argument: the native API at work.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::format;
use core::time::Duration;

husk::entry!(main);

fn main() -> Result<u8, core::num::ParseIntError> {
    let map: BTreeMap<u32, _> = (0..1000).map(|i| (i, format!("value {i}"))).collect();
    let before = husk::clock::monotonic_ns();
    husk::clock::sleep(Duration::from_millis(20));
    let slept = husk::clock::monotonic_ns() - before;
    let year = 1970 + husk::clock::realtime_ns() / (365 * 24 * 3600 * 1_000_000_000);
    husk::println!("{} {} {}", map[&999], slept >= 20_000_000, year > 2025);
    let status = husk::boot::arguments().nth(1).map_or("0", |bytes| core::str::from_utf8(bytes).unwrap_or("0"));
    status.parse()
}
