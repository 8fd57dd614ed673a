//! Meaning of a processor exception: one sentence and an exit status.
//!
//! Vectors and error codes as in the Intel manual, volume 3, chapter 7 (6.15 in older editions). The status is that of the
//! signal which Linux sends for the same exception (`arch/x86/kernel/traps.c`).

use crate::report::access::{Access, Use};
use husk_abi::fault;
use std::fmt;

/// Vector of the invalid instruction.
pub const INVALID_OPCODE: u8 = 6;
/// Vector of the general protection fault.
pub const PROTECTION: u8 = 13;
/// Vector of the page fault.
pub const PAGE_FAULT: u8 = 14;

/// Returns true if a page fault with this error code is an instruction fetch.
pub fn is_fetch(error_code: u64) -> bool {
    error_code & 1 << 4 != 0
}

/// Returns true if a page fault with this error code found a page, but not the right to use it.
pub fn is_present(error_code: u64) -> bool {
    error_code & 1 != 0
}

/// An exception in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Sentence such as "page fault: read of address 0x0".
    pub what: String,
    /// Address of the access that raised the exception, if there is one.
    pub access: Option<Access>,
    /// Exit status of the tender: a value of [`husk_abi::fault`].
    pub status: u8,
}

/// Describes exception `vector` with its `error_code` (0 if it pushes none) and the value of CR2.
pub fn describe(vector: u8, error_code: u64, cr2: u64) -> Exception {
    match vector {
        PAGE_FAULT => page_fault(error_code, cr2),
        PROTECTION => Exception { what: protection(error_code), access: None, status: fault::MEMORY },
        10..=12 if error_code != 0 => Exception {
            what: format!("{}: {}", name(vector), Selector(error_code)),
            access: None,
            status: status(vector),
        },
        _ => Exception { what: name(vector).to_string(), access: None, status: status(vector) },
    }
}

/// The name of an exception.
pub fn name(vector: u8) -> &'static str {
    match vector {
        0 => "division error",
        1 => "debug trap",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow trap",
        5 => "bound range exceeded",
        6 => "invalid instruction",
        7 => "floating-point unit not available",
        8 => "double fault",
        9 => "coprocessor segment overrun",
        10 => "invalid task state segment",
        11 => "segment not present",
        12 => "stack segment fault (a non-canonical address in rsp or rbp)",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point error",
        20 => "virtualization exception",
        21 => "control protection exception",
        28 => "hypervisor injection exception",
        29 => "VMM communication exception",
        30 => "security exception",
        15 | 22..=27 | 31 => "reserved exception",
        32..=255 => "interrupt",
    }
}

fn status(vector: u8) -> u8 {
    match vector {
        0 | 9 | 16 | 19 => fault::ARITHMETIC,
        1 | 3 => fault::TRAP,
        6 | 7 => fault::ILLEGAL_INSTRUCTION,
        11 | 12 | 17 | 18 => fault::BUS,
        _ => fault::MEMORY,
    }
}

/// Error code of a page fault: bit 0 present, 1 write, 3 reserved bit, 4 instruction fetch, 5 protection key.
fn page_fault(error_code: u64, cr2: u64) -> Exception {
    let bit = |n: u32| error_code >> n & 1 == 1;
    let how = match (bit(4), bit(1)) {
        (true, _) => Use::Execute,
        (_, true) => Use::Write,
        _ => Use::Read,
    };
    let why = match (bit(0), bit(3), bit(5)) {
        (_, true, _) => "a reserved bit is set in a page table",
        (_, _, true) => "its protection key forbids it",
        (true, ..) => "its page does not grant that right",
        (false, ..) => "nothing is mapped there",
    };
    Exception {
        what: format!("page fault: {how} address {cr2:#x}: {why}"),
        access: Some(Access { address: cr2, how: Some(how) }),
        status: fault::MEMORY,
    }
}

fn protection(error_code: u64) -> String {
    match error_code {
        0 => "general protection fault: a privileged instruction, a forbidden port, a misaligned vector or a \
              non-canonical address"
            .to_string(),
        _ => format!("general protection fault: {}", Selector(error_code)),
    }
}

/// Error code of a fault that names a descriptor: bit 1 is the interrupt table, bit 2 the local table.
struct Selector(u64);

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 & 0b110 {
            0b010 | 0b110 => write!(f, "interrupt {:#x} is not for guests", self.0 >> 3 & 0xff),
            _ => write!(f, "segment selector {:#x} is not for guests", self.0 & 0xfffc),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fault_says_who_wanted_what() {
        let read = describe(14, 0b00100, 0);
        assert_eq!(read.what, "page fault: read of address 0x0: nothing is mapped there");
        assert_eq!(read.access, Some(Access { address: 0, how: Some(Use::Read) }));
        let write = describe(14, 0b00111, 0x1000);
        assert_eq!(write.what, "page fault: write to address 0x1000: its page does not grant that right");
        let execute = describe(14, 0b10101, 0x2000);
        assert_eq!(execute.what, "page fault: execution at address 0x2000: its page does not grant that right");
        assert_eq!(execute.access, Some(Access { address: 0x2000, how: Some(Use::Execute) }));
        assert!(describe(14, 0b01001, 0).what.ends_with("reserved bit is set in a page table"));
        assert!([read, write, execute].iter().all(|fault| fault.status == fault::MEMORY));
    }

    #[test]
    fn statuses_are_those_of_the_signals_of_linux() {
        let expected = [(0, fault::ARITHMETIC), (3, fault::TRAP), (6, fault::ILLEGAL_INSTRUCTION), (13, fault::MEMORY)];
        for (vector, status) in expected {
            assert_eq!(describe(vector, 0, 0).status, status, "{}", name(vector));
        }
        assert_eq!(describe(17, 0, 0).status, fault::BUS);
        assert_eq!(describe(19, 0, 0).status, fault::ARITHMETIC);
    }

    #[test]
    fn a_software_interrupt_is_named() {
        let interrupt = describe(13, (0x80 << 3) | 2, 0);
        assert_eq!(interrupt.what, "general protection fault: interrupt 0x80 is not for guests");
        assert!(describe(13, 0x18, 0).what.contains("selector 0x18"));
        assert!(describe(11, 0x18, 0).what.starts_with("segment not present: "));
    }

    #[test]
    fn every_vector_has_a_sentence() {
        for vector in 0..=255 {
            for error_code in [0, 1, 2, 7, 0x1a, u64::MAX] {
                let exception = describe(vector, error_code, u64::MAX);
                assert!(exception.what.len() > 5 && exception.status > 128, "{vector}");
            }
        }
    }
}
