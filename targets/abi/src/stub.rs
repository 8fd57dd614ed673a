//! Stubs: copies of the instructions that a patched `syscall` site displaces.
//!
//! A `syscall` is two bytes, a jump to the libos five. The linker step therefore moves the instructions before a site into a
//! *stub* of its own, in an area of the libos that has the symbol [`AREA`], and makes the site jump there:
//!
//! ```text
//! offset in the stub   contents
//! .. RETURN            breakpoints, then the moved instructions: they end at RETURN, and control enters at their first
//! RETURN               lea rcx, [return address]        as `syscall` would have loaded it
//! RETURN + 7           jmp husk_system_call_direct
//! ```
//!
//! A fault in a moved instruction is reported at a stub's address; [`original`] maps it to the instruction's old address. The
//! stack pointer there is the site's own, so the unwind information of that place applies.

/// Symbol of the area; each stub in it lies at a multiple of [`SIZE`].
pub const AREA: &str = "husk_system_call_stubs";
/// Size of a stub in bytes.
pub const SIZE: usize = 32;
/// Offset of the instruction that loads the return address.
pub const RETURN: usize = 20;
/// Size of that instruction in bytes; the last four are the distance from the end of the instruction to the return address.
pub const RETURN_SIZE: usize = 7;
/// Opcode of that instruction: `lea rcx, [rip + distance]`.
pub const RETURN_OPCODE: [u8; 3] = [0x48, 0x8d, 0x0d];
/// Size of the `syscall` instruction, which ends at the return address.
pub const SYSCALL_SIZE: u64 = 2;

/// Returns the old address of the instruction at `offset` of the stub `bytes`, which lies at `address`; from [`RETURN`] on,
/// that is the `syscall` instruction. `None` if the stub is not in use.
pub fn original(address: u64, bytes: &[u8; SIZE], offset: usize) -> Option<u64> {
    let (opcode, distance) = bytes[RETURN..RETURN + RETURN_SIZE].split_first_chunk::<3>()?;
    if *opcode != RETURN_OPCODE {
        return None;
    }
    let distance = i32::from_le_bytes(distance.try_into().ok()?);
    let return_address = address.wrapping_add((RETURN + RETURN_SIZE) as u64).wrapping_add_signed(distance.into());
    let before = RETURN.saturating_sub(offset) as u64;
    Some(return_address.wrapping_sub(SYSCALL_SIZE).wrapping_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_instruction_is_traced_back_to_its_site() {
        let mut bytes = [0xcc; SIZE];
        assert_eq!(original(0x5000, &bytes, 17), None);
        bytes[RETURN..RETURN + 3].copy_from_slice(&RETURN_OPCODE);
        // The site's `syscall` ends at 0x1005.
        bytes[RETURN + 3..RETURN + 7].copy_from_slice(&(0x1005i32 - 0x501b).to_le_bytes());
        assert_eq!(original(0x5000, &bytes, 17), Some(0x1000));
        assert_eq!(original(0x5000, &bytes, RETURN), Some(0x1003));
        assert_eq!(original(0x5000, &bytes, RETURN + 7), Some(0x1003));
    }
}
