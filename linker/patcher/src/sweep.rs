//! A first pass over all code: possible targets of control, and functions that make system calls.
//!
//! Functions are decoded from their first byte to their last, as their symbols say: two bytes that look like `syscall`
//! may be the middle of another instruction. Every address in code that an instruction mentions counts as a place that
//! control may come to, whether it is jumped to, loaded or merely equal to a number.

use super::program::Program;
use iced_x86::{Code, FlowControl, Instruction, OpKind};
use std::collections::HashSet;

/// Result of the first pass.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Addresses in code that some instruction mentions.
    pub mentioned: HashSet<u64>,
    /// Indexes of the functions that hold a `syscall`.
    pub callers: Vec<usize>,
    /// Names of the functions that jump to computed addresses, without what a compiler appends to split-off parts.
    pub jumpers: HashSet<String>,
    /// `syscall` instructions outside any function.
    pub stray: u32,
}

impl Sweep {
    /// Decodes all code of `program`.
    pub fn over(program: &Program<'_>) -> Self {
        let mut sweep = Self::default();
        for (index, function) in program.functions.iter().enumerate() {
            let mut calls = false;
            for instruction in program.instructions(function.range.clone()) {
                sweep.mention(program, &instruction);
                calls |= instruction.code() == Code::Syscall;
                if instruction.flow_control() == FlowControl::IndirectBranch {
                    sweep.jumpers.insert(whole(&function.name).to_owned());
                }
            }
            if calls {
                sweep.callers.push(index);
            }
        }
        for gap in program.gaps() {
            for instruction in program.instructions(gap) {
                sweep.mention(program, &instruction);
                sweep.stray += u32::from(instruction.code() == Code::Syscall);
            }
        }
        sweep
    }

    /// Notes the addresses in code that `instruction` mentions.
    fn mention(&mut self, program: &Program<'_>, instruction: &Instruction) {
        let mut note = |address: u64| {
            if program.is_code(address) {
                self.mentioned.insert(address);
            }
        };
        if instruction.near_branch_target() != 0 {
            note(instruction.near_branch_target());
        }
        if instruction.is_ip_rel_memory_operand() {
            note(instruction.ip_rel_memory_address());
        }
        for operand in 0..instruction.op_count() {
            let kind = instruction.op_kind(operand);
            if matches!(kind, OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64) {
                note(instruction.immediate(operand));
            }
        }
    }

    /// Returns true if a part of the function `name` jumps to computed addresses.
    pub fn jumps(&self, name: &str) -> bool {
        self.jumpers.contains(whole(name))
    }
}

/// Returns the name of the function that a split-off part such as `read.cold` belongs to.
fn whole(name: &str) -> &str {
    name.find(".cold").or(name.find(".part")).map_or(name, |end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::super::program::{Function, Section};
    use super::*;

    fn sweep(bytes: &[u8]) -> Sweep {
        let range = 0x1000..0x1000 + bytes.len() as u64;
        Sweep::over(&Program {
            sections: vec![Section { address: 0x1000, bytes }],
            functions: vec![Function { name: "f.cold.1".into(), range }],
            ..Program::default()
        })
    }

    #[test]
    fn the_middle_of_an_instruction_is_no_system_call() {
        // mov eax, 0x050f0000; ret
        assert_eq!(sweep(&[0xb8, 0x00, 0x00, 0x0f, 0x05, 0xc3]).callers, [0; 0]);
        assert_eq!(sweep(&[0x0f, 0x05, 0xc3]).callers, [0]);
    }

    #[test]
    fn branches_loads_and_numbers_are_mentioned() {
        // jmp 0x1004; nop; nop; lea rax, [rip - 5]; mov ebx, 0x100a
        let code = [0xeb, 2, 0x90, 0x90, 0x48, 0x8d, 0x05, 0xfb, 0xff, 0xff, 0xff, 0xbb, 0x0a, 0x10, 0, 0];
        let mut mentioned: Vec<u64> = sweep(&code).mentioned.into_iter().collect();
        mentioned.sort();
        assert_eq!(mentioned, [0x1004, 0x1006, 0x100a]);
    }

    #[test]
    fn a_computed_jump_marks_all_parts_of_its_function() {
        let sweep = sweep(&[0xff, 0xe0]);
        assert!(sweep.jumps("f"));
        assert!(sweep.jumps("f.cold"));
        assert!(!sweep.jumps("g"));
    }
}
