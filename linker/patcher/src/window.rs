//! The bytes that a jump may replace: a `syscall` and enough instructions before it.
//!
//! The instructions move to a stub, so each of them must mean the same there, which takes a new distance in one that is
//! relative to rip; and control must never enter the bytes between the first and the end of the `syscall` in another way
//! than through the first.

use iced_x86::{FlowControl, Instruction, Register};
use std::fmt;

/// Size of a jump with a 32-bit distance.
pub const JUMP: usize = 5;

/// Reasons why a site keeps trapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The site has too few instructions before it in its function.
    FunctionStart,
    /// Control may enter in the middle of its window.
    Target,
    /// An instruction of its window may not continue with the next.
    ControlFlow,
    /// An instruction of its window means something else at another address, and cannot be changed to mean the same.
    Relative,
    /// The function jumps to computed addresses, which may lie in the window.
    ComputedJump,
    /// The function has bytes that are no instructions, or overlaps with another, or has unknown landing pads.
    Unclear,
    /// The area for stubs is full, or too far away.
    NoStub,
    /// The site lies outside any function.
    Stray,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FunctionStart => "at the start of a function",
            Self::Target => "after a branch target",
            Self::ControlFlow => "after a call or branch",
            Self::Relative => "after a pc-relative instruction",
            Self::ComputedJump => "in a function with computed jumps",
            Self::Unclear => "in code that is not understood",
            Self::NoStub => "without room for a stub",
            Self::Stray => "outside any function",
        })
    }
}

/// Returns the index of the first instruction of the window that ends with the `syscall` at index `site`, if there is one.
/// `is_target` is true for an address that control may come to from elsewhere.
pub fn find(function: &[Instruction], site: usize, is_target: impl Fn(u64) -> bool) -> Result<usize, Reason> {
    let mut first = site;
    let mut length = function[site].len();
    while length < JUMP {
        // The first instruction so far becomes a middle one.
        if is_target(function[first].ip()) {
            return Err(Reason::Target);
        }
        first = first.checked_sub(1).ok_or(Reason::FunctionStart)?;
        let instruction = &function[first];
        if instruction.flow_control() != FlowControl::Next {
            return Err(Reason::ControlFlow);
        }
        // The address size prefix makes it relative to eip, which has no place for another distance.
        if instruction.memory_base() == Register::EIP {
            return Err(Reason::Relative);
        }
        length += instruction.len();
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Code, Decoder, DecoderOptions};

    /// Finds the window's first address in `code` at 0x1000, with the first `syscall` in it and these branch targets.
    fn window(code: &[u8], targets: &[u64]) -> Result<u64, Reason> {
        let function: Vec<_> = Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE).into_iter().collect();
        let site = function.iter().position(|instruction| instruction.code() == Code::Syscall).expect("has a syscall");
        find(&function, site, |address| targets.contains(&address)).map(|first| function[first].ip())
    }

    /// push rbx; mov eax, 1; syscall
    const PLAIN: [u8; 8] = [0x53, 0xb8, 1, 0, 0, 0, 0x0f, 0x05];

    #[test]
    fn a_long_instruction_before_is_enough() {
        assert_eq!(window(&PLAIN, &[]), Ok(0x1001));
    }

    #[test]
    fn short_instructions_add_up() {
        // xor eax, eax; inc eax; syscall
        assert_eq!(window(&[0x31, 0xc0, 0xff, 0xc0, 0x0f, 0x05], &[]), Ok(0x1000));
    }

    #[test]
    fn a_target_may_be_first_but_not_within() {
        assert_eq!(window(&PLAIN, &[0x1001]), Ok(0x1001));
        assert_eq!(window(&PLAIN, &[0x1006]), Err(Reason::Target));
        assert_eq!(window(&[0x31, 0xc0, 0xff, 0xc0, 0x0f, 0x05], &[0x1002]), Err(Reason::Target));
    }

    #[test]
    fn a_load_relative_to_rip_may_move() {
        // mov eax, [rip]; syscall
        assert_eq!(window(&[0x8b, 0x05, 0, 0, 0, 0, 0x0f, 0x05], &[]), Ok(0x1000));
    }

    #[test]
    fn what_cannot_move_stays() {
        // call +0; syscall
        assert_eq!(window(&[0xe8, 0, 0, 0, 0, 0x0f, 0x05], &[]), Err(Reason::ControlFlow));
        // syscall; nop; syscall, the second
        let two = [0x0f, 0x05, 0x90, 0x0f, 0x05];
        let function: Vec<_> = Decoder::with_ip(64, &two, 0x1000, DecoderOptions::NONE).into_iter().collect();
        assert_eq!(find(&function, 2, |_| false), Err(Reason::ControlFlow));
        // mov eax, [eip]; syscall
        assert_eq!(window(&[0x67, 0x8b, 0x05, 0, 0, 0, 0, 0x0f, 0x05], &[]), Err(Reason::Relative));
        assert_eq!(window(&[0x0f, 0x05], &[]), Err(Reason::FunctionStart));
    }
}
