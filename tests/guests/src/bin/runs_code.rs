//! Runs machine code that was written to its image, in the room that begins behind a mark; then exits with status 42.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use husk::abi::call::Number;
use husk::boot;

husk::entry!(main);

/// Address of the gate, for the exit call that follows the room.
#[unsafe(no_mangle)]
static HUSK_CODE_GATE: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    /// Start of the room.
    safe static husk_code: u8;
}

// `husk_tests::code` looks for this mark, with the room behind it.
global_asm!(
    ".pushsection .text.husk_code, \"ax\", @progbits",
    ".balign 64",
    ".ascii \"husk: code that somebody has written here is run, and then this:\"",
    ".globl husk_code",
    "husk_code:",
    ".fill 512, 1, 0x90",
    "mov edi, {exit}",
    "mov esi, 42",
    "mov rax, [rip + HUSK_CODE_GATE]",
    "call rax",
    "ud2",
    ".popsection",
    exit = const Number::Exit as u64,
);

fn main() {
    HUSK_CODE_GATE.store(boot::info().gate, Relaxed);
    husk::println!("ready");
    // SAFETY: none: the test is that the tender is not harmed.
    unsafe { asm!("jmp {}", in(reg) &raw const husk_code, options(noreturn)) };
}
