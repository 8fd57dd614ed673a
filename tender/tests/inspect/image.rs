//! Carries the notes of an image, written by hand: contract version 3, a manifest with a device.

/// The notes; all numbers are little-endian words.
#[repr(C, align(4))]
pub struct Notes([u32; 31]);

const HUSK: u32 = u32::from_le_bytes(*b"Husk");
const NET0: u32 = u32::from_le_bytes(*b"net0");

#[rustfmt::skip]
#[used]
#[unsafe(link_section = ".note.husk")]
static NOTES: Notes = Notes([
    5, 16, 1, HUSK, 0, // name size, body size, type: contract
    3, 0, 0, 0, // version, reserved, system calls
    5, 64, 2, HUSK, 0, // manifest
    64 << 20, 0, 1 << 20, 0, // memory, main stack
    41, 2, 0, 1, // patched, trapping, kind, devices
    1, 4, NET0, 0, 0, 0, 0, 0, // a network
    0,
]);

fn main() {}
