//! Asks the tender to protect the memory in which the libos keeps its records; the argument is the address of the gate.

use std::arch::asm;

const PAGE: u64 = 4096;
const PROTECT: u64 = 5;
const TICK: u64 = 15;

unsafe extern "C" {
    /// The ELF header, at the start of the image.
    static __ehdr_start: u8;
}

/// Makes a call through the gate.
fn call(gate: u64, number: u64, arguments: [u64; 3]) -> i64 {
    let result;
    // SAFETY: none: the gate's answer is what is tested.
    unsafe {
        asm!("call {}", in(reg) gate, inout("rdi") number => _, inout("rsi") arguments[0] => _,
            inout("rdx") arguments[1] => _, inout("rcx") arguments[2] => _, lateout("rax") result, clobber_abi("C"));
    }
    result
}

/// Returns the field of `size` bytes at an offset of the image.
fn field(offset: u64, size: usize) -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: callers name fields of the headers, which are in the first page of the image.
    unsafe {
        std::ptr::copy_nonoverlapping((&raw const __ehdr_start).add(offset as usize), bytes.as_mut_ptr(), size);
    }
    u64::from_le_bytes(bytes)
}

fn main() {
    let gate = std::env::args().nth(1).and_then(|gate| gate.parse().ok()).expect("where the gate is");
    let base = &raw const __ehdr_start as u64;
    let (table, count) = (field(0x20, 8), field(0x38, 2));
    let headers = (0..count).map(|index| table + index * 56);
    const LOAD: u64 = 1;
    const WRITABLE: u64 = 2;
    // Timer interrupts of the tender read the records from now on.
    assert_eq!(call(gate, TICK, [0; 3]), 0);
    // From the end: the first pages are read-only once they are relocated, and no guest may protect those.
    let is_writable = |header: &u64| field(*header, 4) == LOAD && field(header + 4, 4) & WRITABLE != 0;
    for header in headers.rev().filter(is_writable) {
        let (start, size) = (base + field(header + 16, 8), field(header + 40, 8));
        for page in (start / PAGE..(start + size).div_ceil(PAGE)).rev() {
            call(gate, PROTECT, [page * PAGE, PAGE, 0]);
        }
    }
}
