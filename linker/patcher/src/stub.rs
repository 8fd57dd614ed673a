//! Encoding of a stub and of the jump to it; the layout is [`husk_abi::stub`]'s.

use super::window::JUMP;
use husk_abi::stub::{RETURN, RETURN_OPCODE, RETURN_SIZE, SIZE};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use std::ops::Range;

/// `jmp` with a 32-bit distance.
const JUMP_OPCODE: u8 = 0xe9;
/// `int3`.
const BREAKPOINT: u8 = 0xcc;

/// Encodes the stub at `address` that runs the instructions `moved`, then the libos at `direct`, for a site with a `syscall`
/// that ends at `return_address`; none if it does not fit.
pub fn encode(address: u64, moved: &[u8], return_address: u64, direct: u64) -> Option<[u8; SIZE]> {
    let mut stub = [BREAKPOINT; SIZE];
    stub[RETURN.checked_sub(moved.len())?..RETURN].copy_from_slice(moved);
    let jump = RETURN + RETURN_SIZE;
    let [opcode @ .., _, _, _, _] = &mut stub[RETURN..jump] else { return None };
    opcode.copy_from_slice(&RETURN_OPCODE);
    stub[jump - 4..jump].copy_from_slice(&distance(address + jump as u64, return_address)?);
    stub[jump] = JUMP_OPCODE;
    stub[jump + 1..jump + JUMP].copy_from_slice(&distance(address + (jump + JUMP) as u64, direct)?);
    Some(stub)
}

/// Moves the instructions `bytes` from `from` to `to`, with the same effect; none if something is too far from there.
pub fn moved(bytes: &[u8], from: u64, to: u64) -> Option<Vec<u8>> {
    let mut moved = bytes.to_vec();
    let mut decoder = Decoder::with_ip(64, bytes, from, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if let Some(place) = relative(&decoder, &instruction, from) {
            let next = to.wrapping_add(instruction.next_ip().wrapping_sub(from));
            moved.get_mut(place)?.copy_from_slice(&distance(next, instruction.ip_rel_memory_address())?);
        }
    }
    Some(moved)
}

/// Returns the place, in code from `start` on, of the distance from rip in the instruction that `decoder` decoded last.
pub fn relative(decoder: &Decoder<'_>, instruction: &Instruction, start: u64) -> Option<Range<usize>> {
    let offsets = decoder.get_constant_offsets(instruction);
    let is_relative = instruction.is_ip_rel_memory_operand() && offsets.displacement_size() == 4;
    let place = (instruction.ip() - start) as usize + offsets.displacement_offset();
    is_relative.then_some(place..place + 4)
}

/// Returns the address at which control enters the stub at `address` with `length` bytes of moved instructions.
pub fn entry(address: u64, length: usize) -> u64 {
    address + (RETURN - length) as u64
}

/// Encodes a jump to `target`, of `length` bytes at `address`; none if it is too far away.
pub fn jump(address: u64, length: usize, target: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![JUMP_OPCODE];
    bytes.extend(distance(address + JUMP as u64, target)?);
    bytes.resize(length, BREAKPOINT);
    Some(bytes)
}

/// Encodes the distance from `from` to `to` for an instruction.
fn distance(from: u64, to: u64) -> Option<[u8; 4]> {
    i32::try_from(to.wrapping_sub(from).cast_signed()).ok().map(i32::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_abi::stub;
    use iced_x86::{Code, Decoder, DecoderOptions, Register};

    #[test]
    fn a_stub_does_what_its_site_did() {
        // mov eax, 1, from 0x1000; the syscall ended at 0x1007.
        let moved = [0xb8, 1, 0, 0, 0];
        let bytes = encode(0x8000, &moved, 0x1007, 0x9000).expect("fits");
        let entry = entry(0x8000, moved.len());
        let skipped = (entry - 0x8000) as usize;
        let mut decoder = Decoder::with_ip(64, &bytes[skipped..], entry, DecoderOptions::NONE);
        assert_eq!(decoder.decode().code(), Code::Mov_r32_imm32);
        let load = decoder.decode();
        assert_eq!((load.code(), load.op0_register()), (Code::Lea_r64_m, Register::RCX));
        assert_eq!(load.ip_rel_memory_address(), 0x1007);
        assert_eq!(decoder.decode().near_branch_target(), 0x9000);
        assert_eq!(decoder.position(), SIZE - skipped);
        assert_eq!(stub::original(0x8000, &bytes, skipped), Some(0x1000));
    }

    #[test]
    fn what_is_relative_to_rip_gets_another_distance() {
        // lea rdi, [0x1107]; mov dword [0x1111], 7
        let bytes = [0x48, 0x8d, 0x3d, 0, 1, 0, 0, 0xc7, 0x05, 0, 1, 0, 0, 7, 0, 0, 0];
        let moved = moved(&bytes, 0x1000, 0x8000).expect("near enough");
        let targets: Vec<_> = Decoder::with_ip(64, &moved, 0x8000, DecoderOptions::NONE)
            .into_iter()
            .map(|instruction| (instruction.ip_rel_memory_address(), instruction.len()))
            .collect();
        assert_eq!(targets, [(0x1107, 7), (0x1111, 10)]);
        assert_eq!((&moved[..3], &moved[13..]), (&bytes[..3], &bytes[13..]));
        assert!(super::moved(&bytes, 0x1000, 1 << 40).is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(encode(0x8000, &[0x90; RETURN + 1], 0x1007, 0x9000).is_none());
        assert!(encode(0x8000, &[], 0x1007, 1 << 40).is_none());
        assert!(jump(0, JUMP, 1 << 32).is_none());
    }

    #[test]
    fn the_rest_of_a_window_is_breakpoints() {
        assert_eq!(jump(0x1000, 7, 0x1005), Some(vec![0xe9, 0, 0, 0, 0, 0xcc, 0xcc]));
        assert_eq!(jump(0x1000, 5, 0x1000), Some(vec![0xe9, 0xfb, 0xff, 0xff, 0xff]));
    }
}
