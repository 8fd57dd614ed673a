//! Memory that an instruction touches, for a host that reports a refused access without its address.
//!
//! Includes implicit operands: a push or a call writes below the stack pointer.

use crate::arch::registers::Registers;
use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};

/// Longest instruction, in bytes.
pub const LENGTH_MAXIMUM: usize = 15;

/// Returns the first byte of each memory operand of the instruction `bytes`, and last the word below the stack.
pub fn touched(bytes: &[u8], registers: &Registers) -> Vec<u64> {
    let instruction = Decoder::with_ip(64, bytes, registers.rip, DecoderOptions::NONE).decode();
    let operand = |number| match instruction.op_kind(number) {
        OpKind::Register | OpKind::NearBranch64 => None,
        _ => instruction.virtual_address(number, 0, |register, _, _| value(register, registers)),
    };
    let mut addresses: Vec<u64> = match instruction == Instruction::default() {
        true => Vec::new(),
        false => (0..instruction.op_count()).filter_map(operand).collect(),
    };
    addresses.push(registers.rsp.wrapping_sub(8));
    addresses
}

/// Value of a register that can be part of an address.
fn value(register: Register, r: &Registers) -> Option<u64> {
    // Encoding order of the registers (SDM volume 2, table 2-2).
    let general =
        [r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15];
    let number = |first: Register| general.get((register as usize).wrapping_sub(first as usize)).copied();
    match register {
        Register::FS => Some(r.fs_base),
        Register::GS => Some(r.gs_base),
        Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
        _ => number(Register::RAX).or_else(|| Some(number(Register::EAX)? & u64::from(u32::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_abi::registers::Registers as General;

    fn first(bytes: &[u8]) -> u64 {
        let registers = Registers {
            fs_base: 0x5000,
            ..General { rax: 0x10, rcx: 0x1_0000_0003, rsp: 0x8000, rdi: 0x9000, rip: 0x100, ..General::default() }
                .into()
        };
        touched(bytes, &registers)[0]
    }

    #[test]
    fn addresses_are_computed_as_the_processor_does() {
        assert_eq!(first(&[0x48, 0x89, 0x44, 0x24, 0xf8]), 0x7ff8, "mov [rsp-8], rax");
        assert_eq!(first(&[0x48, 0x8b, 0x04, 0xc8]), 0x8_0000_0028, "mov rax, [rax+rcx*8]");
        assert_eq!(first(&[0x67, 0x8b, 0x04, 0x88]), 0x1c, "mov eax, [eax+ecx*4]");
        assert_eq!(first(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0]), 0x5010, "mov rax, fs:[0x10]");
        assert_eq!(first(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0]), 0x117, "mov rax, [rip+0x10]");
        assert_eq!(first(&[0xf3, 0xaa]), 0x9000, "rep stosb");
    }

    #[test]
    fn a_push_or_a_call_touches_the_stack_only() {
        assert_eq!(first(&[0x50]), 0x7ff8);
        assert_eq!(first(&[0xe8, 0, 0, 0, 0]), 0x7ff8);
        assert_eq!(first(&[]), 0x7ff8);
        assert_eq!(first(&[0x06]), 0x7ff8, "no instruction");
    }
}
