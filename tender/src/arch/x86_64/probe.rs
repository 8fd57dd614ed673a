//! Code of the guest that `husk check` measures the host with.

use husk_abi::memory::GATE;

/// System calls for each answer of the gate.
pub const TRAPS: u32 = 16;
/// Pages to touch for each answer of the gate.
pub const PAGES: u32 = 64;
/// Answer of the gate: call again. An answer that is none of these is the address of the last of the pages to touch, downwards.
pub const AGAIN: u64 = 0;
/// Answer of the gate: make the system calls.
pub const TRAP: u64 = 1;
/// Answer of the gate: end.
pub const END: u64 = 2;
/// Number of the call that reports the guest's end.
pub const ENDED: u64 = 1;

/// Offset in the code where a trapped system call continues, with the stack pointer in r11.
pub const DISPATCHER: u64 = 75;

/// The guest's code, which runs on `stack`; comments give the offset of each instruction.
pub fn code(stack: u64) -> [u8; 80] {
    let ([t0, t1, t2, t3], [p0, p1, p2, p3]) = (TRAPS.to_le_bytes(), PAGES.to_le_bytes());
    let [s0, s1, s2, s3, s4, s5, s6, s7] = stack.to_le_bytes();
    let [g0, g1, g2, g3, ..] = GATE.to_le_bytes();
    [
        0x48, 0xbc, s0, s1, s2, s3, s4, s5, s6, s7, // 0: mov $stack, %rsp
        0xbb, g0, g1, g2, g3, //               10: mov $GATE, %ebx
        0x31, 0xff, //                         15: xor %edi, %edi
        0xff, 0xd3, //                         17: call *%rbx         the gate answers in rax
        0x48, 0x83, 0xf8, 0x01, //             19: cmp $1, %rax
        0x72, 0xf6, //                         23: jb 15
        0x74, 0x1a, //                         25: je 53
        0x48, 0x83, 0xf8, 0x02, //             27: cmp $2, %rax
        0x74, 0x21, //                         31: je 66
        0xb9, p0, p1, p2, p3, //               33: mov $PAGES, %ecx
        0xc6, 0x00, 0x01, //                   38: movb $1, (%rax)
        0x48, 0x2d, 0x00, 0x10, 0x00, 0x00, // 41: sub $4096, %rax
        0xff, 0xc9, //                         47: dec %ecx
        0x75, 0xf3, //                         49: jnz 38
        0xeb, 0xda, //                         51: jmp 15
        0xbd, t0, t1, t2, t3, //               53: mov $TRAPS, %ebp
        0x0f, 0x05, //                         58: syscall
        0xff, 0xcd, //                         60: dec %ebp
        0x75, 0xfa, //                         62: jnz 58
        0xeb, 0xcd, //                         64: jmp 15
        0xbf, 0x01, 0x00, 0x00, 0x00, //       66: mov $ENDED, %edi
        0xff, 0xd3, //                         71: call *%rbx
        0xeb, 0xf7, //                         73: jmp 66
        0x4c, 0x89, 0xdc, //                   75: mov %r11, %rsp     the dispatcher: back behind the `syscall`
        0xff, 0xe1, //                         78: jmp *%rcx
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

    #[test]
    fn the_code_is_what_its_comments_say() {
        let code = code(1 << 20);
        let instructions: Vec<Instruction> = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE).into_iter().collect();
        let starts: Vec<u64> = instructions.iter().map(Instruction::ip).collect();
        assert!(instructions.iter().all(|instruction| !instruction.is_invalid()));
        let jumps = instructions.iter().filter(|instruction| instruction.op0_kind() == OpKind::NearBranch64);
        let targets: Vec<u64> = jumps.map(Instruction::near_branch_target).collect();
        assert_eq!(targets, [15, 53, 66, 38, 15, 58, 15, 66]);
        assert!(targets.iter().chain([&DISPATCHER]).all(|target| starts.contains(target)), "{starts:?}");
        assert_eq!(instructions.iter().rev().nth(1).map(Instruction::ip), Some(DISPATCHER));
    }
}
