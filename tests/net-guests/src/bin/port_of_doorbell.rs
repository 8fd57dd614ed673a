//! Writes to the doorbell's port, which it may use, with an instruction that is not the doorbell's: for a string, for one byte of a
//! string, for two bytes, or the same one elsewhere.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    const DOORBELL: u16 = 0x11;
    let bytes = [0u8; 64];
    let from = bytes.as_ptr();
    match guests::word(1) {
        // SAFETY: none: the test is that the guest is stopped.
        "rep" => unsafe { asm!("rep outsb", in("dx") DOORBELL, inout("rsi") from => _, inout("rcx") bytes.len() => _) },
        // SAFETY: as above.
        "one" => unsafe { asm!("outsb", in("dx") DOORBELL, inout("rsi") from => _) },
        // SAFETY: as above.
        "wide" => unsafe { asm!("out dx, ax", in("dx") DOORBELL, in("ax") 0u16) },
        // SAFETY: as above.
        _ => unsafe { asm!("out dx, al", in("dx") DOORBELL, in("al") 0u8) },
    }
    guests::survived();
}
