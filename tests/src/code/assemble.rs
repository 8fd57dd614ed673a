//! Machine code from any bytes: fragments that a hostile guest would try, with the bytes as parameters. The same bytes always
//! give the same code.

use husk_abi::memory::{BOOT, CLOCK, FRAME, GATE, RING0, WINDOW_LOWEST};

/// Interesting addresses: the tender's own pages in a virtual machine, the local APIC, the kernel's vsyscall page, ends of the
/// address space, the image and the heap.
const ADDRESSES: [u64; 20] = [
    0,
    0x1000,
    GATE,
    GATE + 0x10,
    GATE + 0x20,
    GATE + 0x30,
    CLOCK,
    BOOT,
    RING0,
    RING0 + 0x1000,
    FRAME,
    FRAME + 0xfd0,
    0xfee0_0000,
    0xffff_ffff_ff60_0000,
    0x7fff_ffff_e000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0xffff_8000_0000_0000,
    WINDOW_LOWEST + 0x20_0000,
    WINDOW_LOWEST + 0x40_0000,
];

/// Instructions that are privileged, rare or unusual, used unchanged.
const SPECIAL: &[&[u8]] = &[
    b"\x0f\x05",
    b"\x0f\x34",
    b"\xcd\x80",
    b"\xf1",
    b"\xcc",
    b"\xf4",
    b"\x0f\x01\xc1",
    b"\x0f\x01\xd9",
    b"\x0f\x01\xc4",
    b"\x0f\x01\xd4",
    b"\x0f\x01\xd7",
    b"\x0f\x01\xcf",
    b"\x0f\x01\xc0",
    b"\x0f\x01\xf8",
    b"\x0f\x01\xf9",
    b"\x0f\x01\xd0",
    b"\x0f\x01\xd1",
    b"\x0f\x01\xee",
    b"\x0f\x01\xef",
    b"\x0f\x01\xc8",
    b"\x0f\x01\xc9",
    b"\x0f\x01\xca",
    b"\x0f\x01\xcb",
    b"\xfa",
    b"\xfb",
    b"\xfc",
    b"\xfd",
    b"\xf8",
    b"\x0f\x07",
    b"\x0f\x35",
    b"\x0f\x30",
    b"\x0f\x32",
    b"\x0f\x33",
    b"\x0f\x31",
    b"\x0f\xa2",
    b"\x0f\x08",
    b"\x0f\x09",
    b"\x0f\x06",
    b"\x0f\x0b",
    b"\x0f\xaa",
    b"\x0f\xb9\xc0",
    b"\xf3\x0f\xae\xc0",
    b"\xf3\x0f\xae\xc8",
    b"\xf3\x48\x0f\xae\xd0",
    b"\xf3\x48\x0f\xae\xd8",
    b"\x0f\xae\x24\x24",
    b"\x0f\xae\x2c\x24",
    b"\x0f\xae\x14\x24",
    b"\x0f\xae\x1c\x24",
    b"\x6e",
    b"\x6f",
    b"\xf3\x6e",
    b"\xf3\x6c",
    b"\xec",
    b"\xed",
    b"\xee",
    b"\xef",
    b"\x66\xef",
    b"\xe6\x10",
    b"\xe7\x10",
    b"\xe6\x11",
    b"\xe4\x10",
    b"\xe6\x2e",
    b"\x66\xe7\x10",
    b"\xf3\xa4",
    b"\xf3\x48\xab",
    b"\xc8\xff\xff\x1f",
    b"\xc9",
    b"\xc3",
    b"\xff\xd0",
    b"\xff\xe0",
    b"\x48\x8b\x00",
    b"\x48\x89\x00",
    b"\xf0\x0f\xc7\xc8",
    b"\x0f\x20\xc0",
    b"\x0f\x22\xc0",
    b"\x0f\x21\xf8",
    b"\x0f\x23\xc0",
    b"\x0f\x00\x08",
    b"\x0f\x01\x00",
    b"\x0f\x01\x08",
    b"\x0f\x01\x20",
    b"\xc7\xf8\x00\x00\x00\x00",
    b"\xc6\xf8\x00",
    b"\xd9\xfa",
    b"\xdb\xe3",
    b"\x9b",
    b"\x62\xf1\x7c\x48\x58\xc0",
    b"\xc5\xf8\x77",
    b"\xc4\xe2\x79\x18\xc0",
    b"\xf3\x0f\xc7\xf8",
    b"\xf3\x0f\xc7\x30",
    b"\x66\x0f\xae\xf0",
    b"\xf2\x0f\xae\xf0",
    b"\xf3\x0f\xae\xf0",
    b"\xf3\x0f\x09",
    b"\x66\x0f\x38\x82\x00",
    b"\xf7\xf0",
    b"\x48\xcf",
    b"\x48\xcb",
    b"\xeb\xfe",
];

/// Bits of RFLAGS (Intel SDM volume 1, 3.4.3): TF, DF, NT, AC, ID, IOPL, VM, RF.
const FLAGS: [u32; 8] = [1 << 8, 1 << 10, 1 << 14, 1 << 18, 1 << 21, 3 << 12, 1 << 17, 1 << 16];
const SELECTORS: [u16; 16] = [0, 3, 0x08, 0x0b, 0x10, 0x13, 0x18, 0x1b, 0x20, 0x23, 0x28, 0x2b, 0x33, 0x30, 0x38, 0x07];
/// Instructions that load SS, DS, ES, FS and GS, the descriptor table and the task register from ax.
const LOADS: [&[u8]; 7] =
    [b"\x8e\xd0", b"\x8e\xd8", b"\x8e\xc0", b"\x8e\xe0", b"\x8e\xe8", b"\x0f\x00\xd0", b"\x0f\x00\xd8"];
const PORTS: [u16; 12] = [0x10, 0x11, 0x12, 0x20, 0x2e, 0x3f, 0x40, 0xff, 0x100, 0xcf8, 0x402, 0xffff];

/// Stream of bytes; zeros after its end.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Returns an interesting address, one near it, or any.
    fn address(&mut self) -> u64 {
        match self.byte() % 8 {
            0 => self.word(),
            1 => self.word() >> 17,
            2 => self.one_of(&ADDRESSES).wrapping_add_signed(i64::from(self.byte() as i8)),
            _ => self.one_of(&ADDRESSES),
        }
    }
}

/// Returns the code that `bytes` encode: whole fragments, at most `room` bytes.
pub fn code(bytes: &[u8], room: usize) -> Vec<u8> {
    let (mut bytes, mut code) = (Bytes(bytes), vec![]);
    while !bytes.0.is_empty() {
        let piece = piece(&mut bytes);
        if code.len() + piece.len() > room {
            break;
        }
        code.extend(piece);
    }
    code
}

/// Returns a `mov` of a number to the register with this number.
fn load(register: u8, value: u64) -> Vec<u8> {
    let prefix = if register < 8 { 0x48 } else { 0x49 };
    [&[prefix, 0xb8 + (register & 7)], &value.to_le_bytes()[..]].concat()
}

fn piece(bytes: &mut Bytes<'_>) -> Vec<u8> {
    const STACK_POINTER: u8 = 4;
    match bytes.byte() % 16 {
        0 | 1 => (0..1 + bytes.byte() % 12).map(|_| bytes.byte()).collect(),
        2..=5 => match bytes.byte() % 16 {
            // Rarely, because little works without a stack.
            STACK_POINTER if !bytes.byte().is_multiple_of(4) => vec![],
            register => load(register, bytes.address()),
        },
        6 | 7 => flags(bytes),
        8 => segment(bytes),
        9 => far(bytes),
        10 | 11 => call(bytes),
        // mov dx, PORT
        12 => [&b"\x66\xba"[..], &bytes.one_of(&PORTS).to_le_bytes()].concat(),
        _ => bytes.one_of(SPECIAL).to_vec(),
    }
}

/// Sets flags: pushfq; or qword ptr [rsp], FLAGS; popfq.
fn flags(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let flags = bytes.one_of(&FLAGS) | if bytes.byte().is_multiple_of(4) { bytes.one_of(&FLAGS) } else { 0 };
    [&b"\x9c\x48\x81\x0c\x24"[..], &flags.to_le_bytes(), b"\x9d"].concat()
}

/// Loads a segment: mov ax, SELECTOR, and the load.
fn segment(bytes: &mut Bytes<'_>) -> Vec<u8> {
    [&b"\x66\xb8"[..], &bytes.one_of(&SELECTORS).to_le_bytes(), bytes.one_of(&LOADS)].concat()
}

/// Transfers to another code segment, to the next instruction: by a far return, an interrupt return or a far jump.
fn far(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let push = |selector: u16| [&b"\x68"[..], &u32::from(selector).to_le_bytes()].concat();
    let (code, stack) = (bytes.one_of(&SELECTORS), bytes.one_of(&SELECTORS));
    match bytes.byte() % 3 {
        // push CODE; lea rax, [rip + 3]; push rax; retfq
        0 => [&push(code)[..], b"\x48\x8d\x05\x03\0\0\0\x50\x48\xcb"].concat(),
        // push STACK; push rsp; pushfq; push CODE; lea rax, [rip + 3]; push rax; iretq
        1 => [&push(stack)[..], b"\x54\x9c", &push(code), b"\x48\x8d\x05\x03\0\0\0\x50\x48\xcf"].concat(),
        // jmp far [rsp]
        _ => b"\x48\xff\x2c\x24".to_vec(),
    }
}

/// Calls the gate that the image knows, with arbitrary number and arguments: r9 is not an argument register.
fn call(bytes: &mut Bytes<'_>) -> Vec<u8> {
    const ARGUMENTS: [u8; 4] = [6, 2, 1, 8];
    const NUMBER: u8 = 7;
    let number = if bytes.byte().is_multiple_of(16) { bytes.word() } else { u64::from(bytes.byte() % 18) };
    let mut code = load(NUMBER, number);
    for register in ARGUMENTS {
        let value = match bytes.byte() % 4 {
            0 => bytes.address(),
            1 => bytes.one_of(&[0, 1, 4096, 8192, 1 << 20, 1 << 40, u64::MAX]),
            2 => u64::from(bytes.byte()),
            _ => continue,
        };
        code.extend(load(register, value));
    }
    let gate = if bytes.byte().is_multiple_of(2) { GATE } else { WINDOW_LOWEST - husk_abi::memory::TENDER_SIZE + GATE };
    // mov r9, GATE; call r9
    code.extend(load(9, gate));
    code.extend(b"\x41\xff\xd1");
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_code_and_the_same_bytes_the_same() {
        for length in 0..400usize {
            let bytes: Vec<u8> = (0..length).map(|at| ((at * length * 31) >> 3) as u8).collect();
            let made = code(&bytes, 512);
            assert!(made.len() <= 512);
            assert_eq!(made, code(&bytes, 512));
        }
        assert_eq!(code(&[], 512), []);
        assert_eq!(code(&[2, 3, 2, 1, 0], 512), load(3, 0x1000));
    }
}
