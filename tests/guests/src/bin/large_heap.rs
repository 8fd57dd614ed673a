//! Fills most of its memory.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;

husk::entry!(main);

fn main() {
    let size = guests::heap().length as usize / 10 * 9;
    let bytes = vec![1u8; size];
    assert_eq!(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>(), size as u64);
    husk::println!("{} MB used", size >> 20);
}
