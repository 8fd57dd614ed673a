//! Panics three calls deep.

#![no_std]
#![no_main]

husk::entry!(main);

#[inline(never)]
fn middle(length: usize) -> u8 {
    inner(&[1, 2, 3], length)
}

#[inline(never)]
fn inner(bytes: &[u8], index: usize) -> u8 {
    bytes[index]
}

fn main() -> u8 {
    middle(boot_arguments() + 5)
}

fn boot_arguments() -> usize {
    husk::boot::arguments().count()
}
