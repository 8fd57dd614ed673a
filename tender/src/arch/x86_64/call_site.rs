//! Instructions before a return address.

/// The instruction of a system call, `syscall`.
pub const SYSTEM_CALL: [u8; 2] = [0x0f, 0x05];
/// Length of the longest call instruction.
pub const CALL_MAXIMUM: usize = 7;

/// Returns true if the last instruction of these bytes is a call: `e8` with a distance, or `ff /2` with its operand.
pub fn ends_with_call(bytes: &[u8; CALL_MAXIMUM]) -> bool {
    let indirect = |length: usize| {
        let [opcode, operand, ..] = bytes[CALL_MAXIMUM - length..] else { return false };
        opcode == 0xff && operand >> 3 & 7 == 2 && operand_length(operand) == length
    };
    bytes[2] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

/// Length of `ff /2` with this ModRM byte (Intel manual, volume 2, section 2.1.5).
fn operand_length(operand: u8) -> usize {
    let (mode, base) = (operand >> 6, operand & 7);
    let index = usize::from(mode != 3 && base == 4);
    let distance = match (mode, base) {
        (0, 5) | (2, _) => 4,
        (1, _) => 1,
        _ => 0,
    };
    2 + index + distance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_length_of_their_operand() {
        // call rax; call [rax]; call [rax+8]; call [rsp+8]; call [rip+…]; call [rsp+…]
        for (operand, length) in [(0xd0, 2), (0x10, 2), (0x50, 3), (0x54, 4), (0x15, 6), (0x94, 7)] {
            assert_eq!(operand_length(operand), length, "{operand:#x}");
        }
    }
}
