//! The page through which a guest calls its tender: its layout is the same for every target.

use husk_abi::memory::{GATE, PAGE};

/// Address where a `syscall` of a program without libos continues: an undefined instruction, recognised by its address.
pub const NO_LIBOS: u64 = GATE + 0x20;
/// Code at [`NO_LIBOS`]: `ud2`.
pub const UNDEFINED: [u8; 2] = [0x0f, 0x0b];
/// Address of the doorbell function.
pub const DOORBELL: u64 = GATE + 0x30;

/// Returns the page with these pieces of code, each at its guest-physical address; the rest is `int3`.
pub fn page(pieces: &[(u64, &[u8])]) -> [u8; PAGE as usize] {
    const INT3: u8 = 0xcc;
    let mut page = [INT3; PAGE as usize];
    for (address, code) in pieces.iter().chain([&(NO_LIBOS, &UNDEFINED[..])]) {
        let start = (address - GATE) as usize;
        page[start..start + code.len()].copy_from_slice(code);
    }
    page
}
