//! The page through which a guest calls its tender: what lies where in it is the same for every target.

use husk_abi::memory::{GATE, PAGE};

/// Where a `syscall` of a program without libos continues: an undefined instruction, told by its address.
pub const NO_LIBOS: u64 = GATE + 0x20;
/// What lies there: `ud2`.
pub const UNDEFINED: [u8; 2] = [0x0f, 0x0b];
/// Where the doorbell lies: a function.
pub const DOORBELL: u64 = GATE + 0x30;

/// The page with these pieces of code, each at its guest-physical address; elsewhere it cannot be executed to any end.
pub fn page(pieces: &[(u64, &[u8])]) -> [u8; PAGE as usize] {
    const INT3: u8 = 0xcc;
    let mut page = [INT3; PAGE as usize];
    for (address, code) in pieces.iter().chain([&(NO_LIBOS, &UNDEFINED[..])]) {
        let start = (address - GATE) as usize;
        page[start..start + code.len()].copy_from_slice(code);
    }
    page
}
